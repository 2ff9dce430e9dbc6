"""Random spatial and intensity transforms of whole batches, on the device."""
