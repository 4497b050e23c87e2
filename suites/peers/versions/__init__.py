"""The same work on every version of another solver in the matrix."""
