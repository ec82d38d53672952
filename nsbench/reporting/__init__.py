"""Predictions to tables, figures and one HTML file."""
