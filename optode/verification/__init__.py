"""Check derivations and gradients numerically."""
