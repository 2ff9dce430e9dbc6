"""Parameters, multiply-adds, latency, throughput and energy of a network."""
