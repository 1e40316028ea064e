"""Tell whether calls are traced, and which values a trace takes as constants.

None of this has a public name in PyTorch, or one that does not load its compiler. ``torch._dynamo``
alone says whether a call compiled, and has the limits of its cache.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from inspect import signature
from typing import Any, TypeVar, cast

import torch

Make = TypeVar("Make", bound=Callable[..., Any])
Found = TypeVar("Found")

_LIMIT = 2**16
_CACHE_LIMITS = {"cache_size_limit": _LIMIT, "accumulated_cache_size_limit": _LIMIT}

_OWN_LIMIT = "recompile_limit" in signature(torch.compile).parameters


def is_watched() -> bool:
    """Return whether tensors are made under a dispatch mode, as those of a trace without values."""
    return bool(torch._C._len_torch_dispatch_stack())


def is_exporting() -> bool:
    """Return whether ``torch.export`` traces this call.

    As ``torch.compiler.is_exporting``, which PyTorch 2.10 takes for true in every trace.
    """
    return torch.compiler._is_exporting_flag


def constants(make: Make) -> Make:
    """Have tensors made once for each key, but where a mode makes those that nobody else may see.

    A trace takes them as constants, as ``torch.compiler.assume_constant_result`` says it, which
    would load the compiler.
    """

    @cache
    def known(*key: Any) -> Any:
        with torch.inference_mode(False):
            return make(*key)

    @wraps(make)
    def found(*key: Any) -> Any:
        return make(*key) if is_watched() else known(*key)

    found._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return cast("Make", found)


def compiled_once(function: Callable[..., Found], *arguments: Any) -> Found:
    """Call a function in a trace, which compiles it once for all of its calls that are alike.

    As ``torch.compiler.nested_compile_region`` does, which no trace may call.
    """
    from torch._higher_order_ops.invoke_subgraph import invoke_subgraph_placeholder

    return cast("Found", invoke_subgraph_placeholder(function, *arguments))  # type: ignore[no-untyped-call]


def graphs_compiled() -> int:
    """Return the number of graphs that ``torch.compile`` has compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def in_one_file() -> dict[str, Any]:
    """Return the options with which inductor writes one file of kernels, called from C++.

    Kernels and their caller are compiled apart where PyTorch can: the caller with few
    optimizations, as it has nothing to gain from more.
    """
    import torch._inductor.config as settings

    apart = "cpp_wrapper_build_separate"
    return {"cpp_wrapper": True} | ({apart: True} if hasattr(settings, apart) else {})


def compiled_whole(function: Make, **settings: Any) -> Make:
    """Return ``torch.compile`` of a function as whole graphs, however many where it can be told."""
    own: dict[str, Any] = {"recompile_limit": _LIMIT} if _OWN_LIMIT else {}
    return cast("Make", torch.compile(function, fullgraph=True, **settings, **own))


@contextmanager
def unlimited_compilations() -> Iterator[None]:
    """Let ``torch.compile`` keep one graph for each kind of node, however many there are.

    To set the limits takes a tenth of a millisecond, so it is left where none is near.
    """
    if _OWN_LIMIT and graphs_compiled() + 1 < torch._dynamo.config.accumulated_cache_size_limit:
        yield
        return
    with torch._dynamo.config.patch(_CACHE_LIMITS):
        yield


class _NoShims(logging.Filter):
    """Drop inductor's warning of functions that its C++ calls through Python."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "missing a c-shim" not in str(record.msg)


def keep_regions_quiet() -> None:
    """Silence PyTorch's warning that a region has two backward passes: the last step differs."""
    message = "invoke_subgraph traced multiple backward graphs"
    warnings.filterwarnings("ignore", message, UserWarning)


def keep_shims_quiet() -> None:
    """Silence inductor's warning of functions that its C++ calls through Python: they are right."""
    logging.getLogger("torch._inductor.ir").addFilter(_NoShims())
