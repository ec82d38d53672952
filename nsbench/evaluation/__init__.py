"""Models times cells to predictions, predictions to metrics."""
