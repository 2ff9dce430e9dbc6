"""Records and files under `results/`: everything that is written there, and how it is read back."""
