"""Check each verdict numerically, on a random network."""
