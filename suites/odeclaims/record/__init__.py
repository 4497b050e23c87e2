"""Results on disk: written whole, read with a check, judged once, compared, cited and verified."""
