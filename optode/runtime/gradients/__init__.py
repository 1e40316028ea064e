"""Compute gradients of a solve: step by step backwards, or by the adjoint system."""
