"""Take training steps of the papers' tasks: the authors' own, and optode's at equal error of h."""
