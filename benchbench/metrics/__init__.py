"""Scores of a predicted mask against a reference mask: overlaps, distances and lesion-wise scores."""
