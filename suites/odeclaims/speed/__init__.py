"""The speed suite: every workload on every backend, checked first, then timed.

cases.py      what is timed, in which order and how often
answers.py    which answers are right
session.py    how it is timed: one session, from prepared work to rows
rows.py       the rows and their columns
ratios.py     from rows to one line a case, and to times faster than the baseline
tables.py     both as Markdown
pictures.py   work-precision diagrams
show.py       writes tables and figures beside the rows; ``python -m odeclaims.speed`` runs it

The files that measure (the first four) import none of those that show.
"""
