"""Derivations and gradients checked by numbers."""
