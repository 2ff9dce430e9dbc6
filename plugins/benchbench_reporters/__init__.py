"""Clients of experiment trackers, each with the packages of an extra."""
