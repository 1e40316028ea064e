"""The gradients of generated modules, held against each other."""
