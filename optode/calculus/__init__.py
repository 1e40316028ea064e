"""Series in a small step, and derivatives along a direction."""
