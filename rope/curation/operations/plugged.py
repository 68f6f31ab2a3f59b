"""Models of somebody else: a function by its name, in Python's path or in the current folder."""

import importlib
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from rope.errors import UsageError

__all__ = ["load_model"]


@lru_cache(maxsize=8)
def load_model(name: str, stage: str) -> Callable[..., Any]:
    """The function of `module:function`. An attribute `fingerprint` of it, any text, says when it has changed.

    Args:
        name: as it is in the recipe.
        stage: which wants it, for messages.

    Raises:
        UsageError: there is none.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file there hides no installed module
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        raise UsageError(f"{stage}: model {name!r}: no module {error.name!r} in Python's path or in {here}") from error
    if not callable(found):
        raise UsageError(f"{stage}: model {name!r} is not a function; expected module:function")
    model: Callable[..., Any] = found
    return model
