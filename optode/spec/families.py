"""The families that a spec may name, in the order of the catalogue."""

FAMILIES = {
    "momentum": "Gradient flows and momentum",
    "adaptive": "Adaptive steps: Adagrad, Adam and their kin",
    "sign": "Signs of gradients and momenta",
    "normalized": "Normalised and clipped steps",
    "averaging": "Averages of the iterates, schedule-free methods",
    "step-free": "No step size to choose: Polyak's step, D-adaptation, distance over gradients",
    "flatness": "Flat minima: gradients at a perturbed point",
    "constrained": "Mirror, proximal and projected steps",
    "curvature": "Steps scaled by curvature",
    "matrix": "Steps for whole matrices",
    "games": "Games and operators",
    "ode": "Equations given as such",
}
"""Each word of ``family:`` and its heading."""
