"""Tables of a benchmark, pure functions of its records."""
