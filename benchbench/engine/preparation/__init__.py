"""Cases as they are read become arrays on the grid of the protocol, prepared once and cached."""
