"""What is true of an adjoint: proven or refuted, and observed on a random network."""
