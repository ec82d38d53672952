"""One file a format: each reads it as a `Source`."""
