"""A case as it is read -> arrays on the grid of the protocol, prepared once and cached."""
