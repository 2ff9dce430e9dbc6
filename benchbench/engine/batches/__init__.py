"""Prepared cases -> batches of slices or patches on the device."""
