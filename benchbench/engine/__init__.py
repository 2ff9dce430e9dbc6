"""Prepares cases, trains a model on them and predicts; the only rooms that know torch."""
