"""The pool of trained networks: trained once by a specification, published with their weights.

A claim that needs a trained network asks for it by its specification. ``recipes`` says what is
trained and how; ``store`` reads and writes what was published; ``training`` trains what is missing
and repeats the first updates of what is not.
"""
