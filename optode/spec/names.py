"""Which names a spec may use: those that can be variables and attributes of the emitted module."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from typing import TypeAlias

from optode.diagnostics import Located, Reporter, quoted
from optode.language.function_names import FUNCTION_NAMES, IN_MODULES, OPERATORS_IN_MODULES

Problem: TypeAlias = tuple[str, "str | None"]
"""Why a name cannot be, and what to do about it."""

MAX_NAME = 24  # of a state or parameter: emitted lines hold several
MAX_FILE_NAME = 64

_MEANINGS = {
    "t": "continuous time",
    "k": "the iteration counter",
    "f": "the field",
    "grad": "the gradient",
    "rhs": "the derived right-hand side",
    "time": "the entry of `scaling` for continuous time",
    "JT": "the transposed Jacobian",
    "self": "a name of the emitted module",
    **dict.fromkeys(FUNCTION_NAMES, "a function of the language"),
}

# A state is a local variable of the emitted methods and a field of a named tuple, a parameter a local
# variable and an attribute of the emitted class: neither may hide what stands there already.
ATTRIBUTES = frozenset((
    "States", "adjoint_field", "atol", "automatic_grid", "best_method", "branch_evaluations",
    "compilations", "compiled", "constant_names", "each_feature", "equations", "feature_axis",
    "feature_sum", "features", "field", "first_length", "followers", "followers_see_f", "gradient",
    "graph_bytes", "grid", "initial_states", "integrate", "learned_names", "learned_start", "linear_only",
    "linear_part", "linear_start", "linearize", "method", "observe", "operator_names", "options",
    "record", "regular_start", "relative_degree", "rests", "rtol", "running", "settled", "singular_times",
    "singular_values", "span", "start_evaluations", "state_names", "timeless", "timeless_loss",
    "vector_field",
))  # fmt: skip
"""Of the classes of optode.runtime, from which the emitted class inherits."""

MODULE_ATTRIBUTES = frozenset((
    "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children",
    "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward",
    "get_buffer", "get_extra_state", "get_parameter", "get_submodule", "half", "ipu",
    "load_state_dict", "modules", "mtia", "named_buffers", "named_children", "named_modules",
    "named_parameters", "parameters", "requires_grad_", "set_extra_state", "set_submodule",
    "share_memory", "state_dict", "to", "to_empty", "train", "training", "type", "xpu",
    "zero_grad",
))  # fmt: skip
"""Of torch.nn.Module, in any of its versions; and what begins with ``register_``."""

TUPLE_ATTRIBUTES = frozenset((
    "count", "index",
))  # fmt: skip
"""Of the named tuple of states."""

IMPORTED = frozenset((
    "Any", "NamedTuple", "Tensor", "nn", "functional", "math", "partial", "torch", "BoundField",
    "FeatureNode", "Field", "Gradients", "Inputs", "Learn", "Loss", "MatrixNode", "Node",
    "Operator", "Pull", "Rates", "Rests", "Tensors", "Value", "learned_value", "set_constant",
    "set_learned", "set_loss", "set_operator", *IN_MODULES, *OPERATORS_IN_MODULES,
))  # fmt: skip
"""What the emitted module imports."""

LOCALS = frozenset((
    "costates", "inputs", "learn", "pull", "settings", "states", "tolerances",
))  # fmt: skip
"""The other local variables of the emitted methods; further ones make way for the author's names."""

_TAKEN = ATTRIBUTES | MODULE_ATTRIBUTES | TUPLE_ATTRIBUTES | IMPORTED | LOCALS
_PREFIXES = ("callback_", "register_", "initial_", "JT_")
_SUFFIXES = ("_bar", "_density", "_dt", "_next", "_rest", "_start")
_LETTERS = re.compile(r"[A-Za-z\u0370-\u03ff_][A-Za-z0-9\u0370-\u03ff_]*")
_ASCII = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_name(name: Located, reporter: Reporter) -> bool:
    """Report a name (E110) that a state, a parameter or an intermediate cannot have."""
    return _report(name, name_problem(name.text), reporter)


def name_problem(text: str) -> Problem | None:
    """Return why a state, a parameter or an intermediate cannot have this name."""
    return _problem(text, MAX_NAME) or _taken(text)


def check_class_name(name: Located, reporter: Reporter) -> bool:
    """Report a name (E110) that the emitted class cannot have."""
    return _report(name, class_name_problem(name.text), reporter)


def class_name_problem(text: str) -> Problem | None:
    """Return why the emitted class cannot have this name."""
    taken = text in {"States", *IMPORTED} or hasattr(builtins, text)
    return _ascii_problem(text, taken)


def check_file_name(name: Located, reporter: Reporter) -> bool:
    """Report a name (E110) that the emitted file cannot have: it may not hide a module."""
    return _report(name, file_name_problem(name.text), reporter)


def file_name_problem(text: str) -> Problem | None:
    """Return why the emitted file cannot have this name."""
    taken = text in ("torch", "torchdiffeq", "numpy", "optode")
    return _ascii_problem(text, taken or text in sys.stdlib_module_names)


def _report(name: Located, problem: Problem | None, reporter: Reporter) -> bool:
    if problem is not None:
        reporter.error("E110", problem[0], name.span, problem[1])
    return problem is None


def _ascii_problem(text: str, taken: bool) -> Problem | None:
    problem = _problem(text, MAX_FILE_NAME)
    if problem is None and not _ASCII.fullmatch(text):
        message = f"{quoted(text)} cannot name a file or a class"
        return message, "begin with a letter, and use a-z, A-Z, 0-9 and _"
    if problem is None and taken:
        return f"the name {quoted(text)} is taken: Python or PyTorch uses it", None
    return problem


def _problem(text: str, longest: int) -> Problem | None:
    """Why a text is no name at all, and what to do about it."""
    if keyword.iskeyword(text):
        better = "`lam` or `lambda_`" if text == "lambda" else f"`{text}_`"
        return f"{quoted(text)} is a keyword of Python", f"call it {better}"
    normal = unicodedata.normalize("NFKC", text)
    if len(text) > longest:
        return f"a name has at most {longest} characters here", None
    if normal != text and _LETTERS.fullmatch(normal):
        return f"{quoted(text)} has letters that look like others", f"write `{normal}`"
    if not (_LETTERS.fullmatch(text) and text.isidentifier() and normal == text):
        return (
            f"{quoted(text)} is not a name",
            "a name is Latin or Greek letters, digits and _, no digit first",
        )
    return None


def _taken(text: str) -> Problem | None:
    """Why a name is not free, and what to do about it."""
    if text in _MEANINGS:
        return f"the name {quoted(text)} is taken: {_MEANINGS[text]}", "choose another name"
    if text.startswith("_"):
        return f"the name {quoted(text)} begins with an underscore", "leave it away"
    if text.startswith("a_"):
        return (
            f"the name {quoted(text)} is taken: `a_` begins the names of costates",
            "choose another name",
        )
    if text.startswith("raw_"):
        return (
            f"the name {quoted(text)} is taken: `raw_` begins the raw values of parameters",
            "choose another name",
        )
    if (
        text in _TAKEN
        or text.startswith(_PREFIXES)
        or text.endswith(_SUFFIXES)
        or hasattr(builtins, text)
    ):
        return (
            f"the name {quoted(text)} is taken: Python or the emitted module uses it",
            f"call it `{text}_`",
        )
    return None
