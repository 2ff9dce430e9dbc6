"""A benchmark expanded into runs, each with the digest of everything that may change its numbers."""
