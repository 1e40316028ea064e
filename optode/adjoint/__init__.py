"""Stage 4: the equations of the costates, and what a model does to volumes."""
