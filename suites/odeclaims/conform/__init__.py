"""A scorecard for any registered solver: does it do what a solver promises?

check.py      what a check is, and how it asks a backend
problems.py   problems whose solutions do not come from a solver of this project
accuracy.py, cost.py, gradients.py, derivatives.py, failing.py, manners.py, dense.py, events.py,
complex_states.py, stiff.py   the checks, by group
guard.py      runs checks in a process of their own
scorecard.py  all checks of a backend, and their findings
show.py       the scorecard as tables, files and a page
"""
