"""How results look: one style for every figure, one for every table."""
