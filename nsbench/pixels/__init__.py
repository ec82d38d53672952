"""What corruptions and perturbation sequences share: conversions, draws, filters, sampling."""
