"""A benchmark expanded into runs, each with the digest of everything that can change its numbers."""
