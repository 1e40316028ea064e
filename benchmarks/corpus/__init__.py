"""Compare rules and their derived equations with the classes of optimizer packages."""
