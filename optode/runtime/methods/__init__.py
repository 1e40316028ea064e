"""Take single steps: Runge-Kutta methods, and interpolations of f."""
