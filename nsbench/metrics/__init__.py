"""Metrics, intervals and changes as pure functions of arrays; no torch, no files."""
