"""The vector fields of the models of corpus_catalogue.py in PyTorch, typed by hand, as in equations.py.

Each is the equation worked out on paper from the rule in its spec, with ``g = -f(t, h)``.
"""

from __future__ import annotations

import corpus_adaptive
import corpus_others
from corpus_tools import EQUATIONS

__all__ = ["EQUATIONS", "corpus_adaptive", "corpus_others"]
