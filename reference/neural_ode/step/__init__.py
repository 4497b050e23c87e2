"""One step: the stages, the norm of the error, and the size of the next step."""
