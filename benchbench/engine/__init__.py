"""Prepares cases, trains models on them and predicts; the lowest of the packages that import torch."""
