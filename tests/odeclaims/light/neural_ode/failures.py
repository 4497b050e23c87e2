"""Failures that nothing here has."""


class NotOffered(ValueError):
    """Raised by nothing here."""
