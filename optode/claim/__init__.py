"""Prove or refute claims on an adjoint system, and check them on a random network."""
