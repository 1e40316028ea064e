"""Take single steps: Runge-Kutta, Nyström and splitting methods, and their reversed steps."""
