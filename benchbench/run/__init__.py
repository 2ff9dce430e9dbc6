"""Carries out one run: from an assignment to a record and the files next to it."""
