"""Epochs of training and inner validation, learning rate schedules and checkpoints."""
