"""asv benchmarks: this library against its own past."""
