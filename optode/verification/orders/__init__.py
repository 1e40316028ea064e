"""Measure how fast a rule approaches its limit, and predict it from the equations."""
