"""Installed plugins: their discovery through entry points, their parameters and their descriptions."""
