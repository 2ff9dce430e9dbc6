"""Datasets on disk: download, verification, digests, folds and the cache."""
