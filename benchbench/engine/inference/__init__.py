"""A trained network -> masks on the grid of the case: sliding windows, thresholds, post-processing."""
