"""Noisy Student training: teacher, pseudo-labels, larger and noised student, repeat."""
