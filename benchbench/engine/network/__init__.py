"""A network under its protocol: forward pass, autocast, losses, masks of its output, and checks."""
