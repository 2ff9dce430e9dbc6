"""The network in its protocol: losses, autocast, forward pass, checks of its output."""
