"""Stage 1: one step of an optimizer, as a map of its states."""
