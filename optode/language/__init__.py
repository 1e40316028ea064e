"""The vocabulary of equations, and how it is printed."""
