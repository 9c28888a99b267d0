"""Priors P(z, z'): the scientific choice. One class a file; `base` says what a prior must answer."""
