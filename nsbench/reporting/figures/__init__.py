"""Figures of a report, one file a kind of suite; `drawn` has what they share."""
