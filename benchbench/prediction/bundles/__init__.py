"""Networks of finished runs as MONAI bundles, which need no benchbench."""
