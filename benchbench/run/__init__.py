"""One run from its assignment to its record: train, choose the checkpoint, predict, score."""
