"""Write a commented spec to start from."""

from __future__ import annotations

import re
from pathlib import Path

from optode.codegen.files import write_new
from optode.diagnostics import Located, Reporter, Source, Span
from optode.language.function_names import FUNCTION_NAMES
from optode.spec.names import check_file_name

_TEXT = """\
# A spec of optode. `optode check {name}.yaml` says what is wrong with it,
# `optode derive {name}.yaml` shows what follows from it,
# `optode generate {name}.yaml` writes the PyTorch module.
name: {name}
title: My optimizer                  # the first line of the class docstring
reference: []                        # for the docstring: a text, or a list of texts
step_size: s                         # the quantity that goes to zero

# How hyper-parameters move with the step size: a formula, `fixed`, `decay` (in (0, 1), its scaling
# left open), `vector` (a constant for each feature) or `oracle` (an operator of the caller's).
parameters:
  beta: 1 - gamma*sqrt(s)

# The first state is the position; the others are what the optimizer remembers.
state: [x, v]

# One step, line by line. grad(...) is the gradient; x[k-1] a lag; k the iteration.
# Functions: {functions}
update: |
  v[k+1] = beta*v[k] - s*grad(x[k])
  x[k+1] = x[k] + v[k+1]

# The neural ODE: f(t, h) takes the place of -grad(x).
model:
  class: {class_name}
  rename: {{x: h, v: m}}
  parameters:
    gamma: {{init: -3.0, transform: sigmoid}}   # learned; `{{value: 0.9}}` would fix it
  initial: {{m: zero}}                 # zero, learned, linear, given, or an expression
  span: [0.0, 1.0]
  # equations: {{h: tanh(rhs)}}        # rewrites an equation; rhs is what was derived
"""


def write_starter(name: str) -> Path:
    """Write a commented spec to ``<name>.yaml``, a path with or without the suffix.

    Raises SpecError for a name that no spec can have (E110) and for a file that exists (E601).
    """
    path = Path(name.removesuffix(".yaml") + ".yaml")
    reporter = Reporter()
    source = Source("NAME", path.stem)
    check_file_name(Located(path.stem, Span(source, 0, len(path.stem))), reporter)
    reporter.raise_if_any()
    write_new(path, starter_text(path.stem))
    return path


def starter_text(name: str) -> str:
    """Return a spec of the heavy ball under the given name, with a comment on each part."""
    class_name = "".join(part[0].upper() + part[1:] for part in re.findall(r"[^_]+", name)) + "NODE"
    return _TEXT.format(name=name, class_name=class_name, functions=" ".join(FUNCTION_NAMES))
