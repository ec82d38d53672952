"""Generators of corrupted images."""
