"""Write a commented spec to start from."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from optode.codegen.files import write_new
from optode.compiler import derive, with_expression_errors
from optode.diagnostics import Diagnostic, Located, Reporter, Source, Span, SpecError
from optode.language.function_names import FUNCTION_NAMES
from optode.spec.names import check_file_name
from optode.spec.reader import Spec, parse_spec
from optode.spec.shipped import shipped_specs
from optode.spec.yaml_source import Mapping, read_yaml

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


def write_starter(name: str, base: str | None = None) -> Path:
    """Write a commented spec to ``<name>.yaml``, a path with or without the suffix.

    ``base`` names the spec that is copied; without one the heavy ball is written, with a comment on
    each part. Raises SpecError for a name that no spec can have (E110) or that a shipped one has
    (E607), with the errors of the base, and for a file that exists (E601).
    """
    path = Path(name.removesuffix(".yaml") + ".yaml")
    reporter = Reporter()
    source = Source("NAME", path.stem)
    check_file_name(Located(path.stem, Span(source, 0, len(path.stem))), reporter)
    reporter.raise_if_any()
    if path.stem in shipped_specs():
        message = f"`{path.stem}` is the name of a shipped spec"
        hint = f"to change a copy of it: `optode new my_{path.stem} --from {path.stem}`"
        raise SpecError([Diagnostic("E607", message, None, hint)])
    write_new(path, starter_text(path.stem) if base is None else _copied(base, path))
    return path


def _copied(base: str, path: Path) -> str:
    """Return the text of a spec with the name and the class of the file to be written."""
    spec = derive(base).spec
    assert isinstance(spec, Spec)
    changes = [(spec.name.span, path.stem)]
    if spec.model is not None:
        changes.append(_class_change(spec.model.class_name.span, spec.source, path.stem))
    text = spec.source.text
    for span, new in sorted(changes, key=lambda change: change[0].start, reverse=True):
        text = text[: span.start] + new + text[span.end :]
    with_expression_errors(partial(parse_spec, text, str(path), base_directory=path.parent))
    return text


def _class_change(inherited: Span, source: Source, name: str) -> tuple[Span, str]:
    """Return where a spec says its class, and what to put there; an inherited class is added."""
    if inherited.source is source:
        return inherited, class_name(name)
    tree = read_yaml(source, Reporter())
    assert isinstance(tree, Mapping)
    model, entry = tree.get("model"), f"class: {class_name(name)}"
    if not isinstance(model, Mapping):
        return _before("extends", tree, f"model: {{{entry}}}")
    if not model.entries:
        return model.span, f"{{{entry}}}"
    return _before(model.entries[0][0].text, model, entry)


def _before(key: str, mapping: Mapping, entry: str) -> tuple[Span, str]:
    """Return the place before a key of a mapping, in braces or in lines, and the entry to put there."""
    (place,) = (located.span for located, _ in mapping.entries if located.text == key)
    source = mapping.span.source
    _, column = source.line_column(place.start)
    in_braces = source.text[mapping.span.start] == "{"
    return place.at(0, 0), entry + (", " if in_braces else "\n" + " " * (column - 1))


def starter_text(name: str) -> str:
    """Return a spec of the heavy ball under the given name, with a comment on each part."""
    functions = " ".join(FUNCTION_NAMES)
    return _TEXT.format(name=name, class_name=class_name(name), functions=functions)


def class_name(name: str) -> str:
    """Return the name of the class of a spec: ``MyRuleNODE`` for ``my_rule``."""
    return "".join(part[0].upper() + part[1:] for part in re.findall(r"[^_]+", name)) + "NODE"
