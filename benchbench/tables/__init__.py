"""Tables of a benchmark, computed from its records and nothing else."""
