"""Benchmark files as frozen, validated types: what is compared, and under which protocol."""
