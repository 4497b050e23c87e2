"""The pool of trained networks: trained once by a specification, published with their weights.

A claim that needs a trained network asks ``provide`` for it by its specification. ``recipes`` says
what is trained and how; ``work`` trains what is missing, and ``publish`` puts it beside what is
there; ``store`` reads and writes it; ``training`` trains one network in this process, and repeats
the first updates of one that was trained.
"""
