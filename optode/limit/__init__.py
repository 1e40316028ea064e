"""Stage 2: the differential equation that a rule approaches as its step size goes to zero."""
