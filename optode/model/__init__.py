"""Stage 3: the neural ODE, a network in the gradient's place, and the structure it has."""
