"""The same work on every version of another solver that the matrix names."""
