"""From a trained network to masks on the grid of the case: sliding windows, thresholds, post-processing."""
