"""Evaluate the equations: the network at one time, its pullback, and what it must not do."""
