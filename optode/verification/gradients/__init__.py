"""Check the gradients of generated modules against finite differences and each other."""
