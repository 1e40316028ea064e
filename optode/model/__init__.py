"""Stage 3: the neural ODE, a network in the gradient's place, and how its states follow from it."""
