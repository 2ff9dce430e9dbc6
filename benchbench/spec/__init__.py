"""A benchmark file as frozen, validated types: what is compared, under which protocol."""
