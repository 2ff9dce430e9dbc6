"""The training loop: epochs, the inner validation, and the checkpoints that it selects."""
