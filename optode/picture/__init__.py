"""Draw what follows from a spec: a rule beside its limit, paths, phases and damping."""
