"""What a run asks of the solver around a claim that solves nothing; see ``torch``."""
