"""The launchers that come with benchbench, each behind its own entry point."""
