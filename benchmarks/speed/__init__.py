"""A training step of neural ODEs, optode's and its peers', at equal error of the gradient.

    python -m benchmarks.speed --help

Every contender gets the same weights, inputs and loss, and is measured at its loosest setting whose
gradient agrees with a reference in double precision; one that never agrees is not measured.
"""
