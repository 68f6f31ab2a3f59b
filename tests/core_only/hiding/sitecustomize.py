"""Hides packages from every process that has this folder in PYTHONPATH: those that the variable HIDDEN names."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_HIDDEN = frozenset(os.environ.get("HIDDEN", "").split())


class _WithoutHidden(PathFinder):
    """Finds modules as Python does, except for those of hidden packages, which are not there."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _HIDDEN:
            return None
        return PathFinder.find_spec(fullname, path, target)


if _HIDDEN:
    sys.meta_path[:] = [_WithoutHidden if finder is PathFinder else finder for finder in sys.meta_path]
