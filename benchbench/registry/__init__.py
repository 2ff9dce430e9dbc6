"""Installed plugins: discovery through entry points, their parameters and what their authors say of them."""
