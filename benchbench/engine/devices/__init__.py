"""The devices that compute and the processes that share a training."""
