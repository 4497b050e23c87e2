"""``python -m odeclaims`` is ``odeclaims``."""

from odeclaims.cli import main

main()
