"""Predicts new images with finished runs of a benchmark, and writes label files."""
