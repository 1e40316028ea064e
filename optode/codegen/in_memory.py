"""Make a class from generated text, without a file."""

from __future__ import annotations

import linecache
import sys
from types import ModuleType

PACKAGE = "optode_compiled"


def class_from_text(text: str, name: str, class_name: str) -> type:
    """Return the class that a module's text defines.

    The module is registered as ``optode_compiled.<name>``, so that instances can be pickled within
    this process, and its lines are known to ``linecache``, so that tracebacks and ``inspect`` show
    them. The same text gives the same class again; another text takes the name over.
    """
    full_name, file = f"{PACKAGE}.{name}", f"<{PACKAGE}.{name}>"
    lines = text.splitlines(keepends=True)
    module = sys.modules.get(full_name)
    if module is None or linecache.getlines(file) != lines:
        module = ModuleType(full_name)
        module.__file__ = file
        linecache.cache[file] = (len(text), None, lines, file)
        sys.modules.setdefault(PACKAGE, _package())
        sys.modules[full_name] = module
        _execute(text, file, module)
    made: type = getattr(module, class_name)
    return made


def _execute(text: str, file: str, module: ModuleType) -> None:
    """Run generated text: names and formulas that were checked, and strings that stay in
    docstrings.
    """
    try:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except BaseException:  # a module that failed half-way is not to be found by the next call
        del sys.modules[module.__name__]
        raise


def _package() -> ModuleType:
    package = ModuleType(PACKAGE)
    package.__path__ = []
    return package
