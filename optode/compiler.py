"""Compile specs: derive them, check them, and write or load their PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from optode.codegen.files import write_modules
from optode.codegen.in_memory import class_from_text
from optode.codegen.standalone import COPY, runtime_copy
from optode.derivation import AnySpec, Derivation
from optode.diagnostics import Diagnostic, SpecError
from optode.formulation import Formulation
from optode.limit.from_spec import assuming_fixed
from optode.rule.from_spec import expression_errors
from optode.spec.reader import Spec, UnfinishedSpec, parse_spec, read_spec
from optode.spec.shipped import find_spec, shipped_specs
from optode.time_limit import time_limit
from optode.unexpected import stage


def derive(
    spec: AnySpec, order: int = 0, step: float | None = None, *, assume_fixed: bool = False
) -> Derivation:
    """Derive a spec, with the terms of the modified equation up to an order.

    ``step`` is the value of the step size in those terms, unless the model declares it. With
    ``assume_fixed`` constants that the spec uses and does not declare are fixed; the module's caller
    gives them. A derivation is returned as it is, unless an order, a step or ``assume_fixed`` is given.
    While the process lives, the same text at the same path gives the same derivation.
    Raises SpecError where the spec cannot be found or read, TypeError for what is no spec.
    """
    if isinstance(spec, Derivation):
        if not order and step is None and not assume_fixed:
            return spec
        spec = spec.spec
    if isinstance(spec, (str, Path)):
        spec = with_expression_errors(partial(read_spec, find_spec(str(spec))))
    if not isinstance(spec, (Spec, Formulation)):
        raise TypeError(f"a spec is a path, a name, or what optode made of one, not {spec!r}")
    if assume_fixed and isinstance(spec, Spec):
        spec = assuming_fixed(spec)
    # A formulation may hold what cannot be hashed.
    return kept(spec, order, step) if isinstance(spec, Spec) else Derivation(spec, order, step)


@lru_cache(maxsize=256, typed=True)  # 1.0 and True are no orders
def kept(spec: Spec, order: int, step: float | None) -> Derivation:
    """Return the derivation of a spec, the same one each time, so that no stage is worked out twice."""
    return Derivation(spec, order, step)


def parse(text: str, path: str = "<string>") -> Spec:
    """Read the spec in a text; every function that takes a spec takes what this returns.

    Errors cite the text as ``path``. ``extends`` finds shipped specs, and files in the working
    directory. Raises SpecError with all errors, TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"the text of a spec is a str, not {text!r}")
    return with_expression_errors(partial(parse_spec, text, path, base_directory=Path.cwd()))


def with_expression_errors(read: Callable[[], Spec]) -> Spec:
    """Call ``read``; if the spec has errors, raise them together with those of its expressions."""
    try:
        with stage("spec"):
            return read()
    except UnfinishedSpec as error:
        raise SpecError((*error.diagnostics, *expression_errors(error.spec, error.keys))) from None


def check(spec: AnySpec, seconds: float | None = None) -> tuple[Diagnostic, ...]:
    """Return all errors of the first stage that has errors; empty if every stage succeeds.

    A check that takes more than so many seconds has an error, too.
    """
    try:
        with time_limit(seconds):
            derivation = derive(spec)
            derivation.stages()
            _ = derivation.spec.has_model and derivation.module_text
    except SpecError as error:
        return error.diagnostics
    return ()


def generate(
    *specs: AnySpec,
    directory: str | Path = "generated",
    force: bool = False,
    standalone: bool = False,
    check: bool = True,
) -> list[Path]:
    """Write the modules of the specs to ``<directory>/<name>.py``, all or none; returns the paths.

    ``standalone`` writes a copy of the runtime beside them, which they import. ``check`` runs each
    rule beside its limit first. Raises SpecError
    with the errors of all the specs, or with the reasons not to write a file: one that optode did
    not write or that was edited since is kept unless ``force``.
    """
    texts = modules(specs, Path(directory), standalone=standalone, check=check)
    write_modules(texts, force=force)
    return list(texts)


def shipped_models() -> list[Spec]:
    """Return the shipped specs that have a model part."""
    return [spec for spec in map(read_spec, map(find_spec, shipped_specs())) if spec.has_model]


def modules(
    specs: Iterable[AnySpec],
    directory: Path,
    order: int = 0,
    step: float | None = None,
    *,
    standalone: bool = False,
    check: bool = False,
    seconds: float | None = None,
) -> dict[Path, str]:
    """Return the texts that ``generate`` writes, by path; each spec may take so many seconds.

    ``check`` runs each rule beside its limit first.
    """
    texts = runtime_copy(directory) if standalone else {}
    errors: list[Diagnostic] = []
    for spec in specs:
        try:
            with time_limit(seconds):
                derivation = derive(spec, order, step)
                name = derivation.file_name
                if check:
                    derivation.check_limit()
                text = derivation.text_importing(COPY) if standalone else derivation.module_text
            if texts.setdefault(directory / f"{name}.py", text) != text:
                errors.append(Diagnostic("E604", f"two modules are named `{name}`"))
        except SpecError as error:
            errors += error.diagnostics
    if errors:
        raise SpecError(errors)
    return texts


def compile(spec: AnySpec) -> type[Any]:
    """Return the class of a spec's module, made in memory from the text that ``generate`` writes."""
    derivation = derive(spec)
    text = derivation.module_text
    return class_from_text(text, derivation.name, derivation.model.class_name)
