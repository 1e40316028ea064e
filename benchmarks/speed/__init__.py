"""Measure training steps of neural ODEs, optode's and others', at equal error of the gradient.

    python -m benchmarks.speed --help

Every contender gets the same weights, inputs and loss, and is measured at its loosest setting whose
gradient agrees with a reference in double precision; a contender that never agrees is not measured.
"""
