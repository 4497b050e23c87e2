"""Draw and tabulate the rows of the speed suite again: ``python -m odeclaims.speed [FOLDER]``."""

from odeclaims.speed.show import main

main()
