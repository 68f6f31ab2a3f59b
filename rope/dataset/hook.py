"""Makes `datasets` know the dataset `rope`, without importing `datasets`.

`datasets` has no public way to register a dataset; its packaged modules look for files in the current
folder. So `datasets.load.dataset_module_factory` is wrapped: the path `rope` becomes the folder that
`rope.dataset.locate` finds, and that folder, or any dataset directory that is named by its path, is read by
`rope.dataset.builder`.
"""

import functools
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["DATASET_NAME", "install"]

DATASET_NAME: Final = "rope"
"""The path that `datasets.load_dataset` hands over to this package."""

_TARGET: Final = "datasets.load"
_FACTORY: Final = "dataset_module_factory"
_MARK: Final = "_resolves_rope"

Factory = Callable[..., Any]
"""`datasets.load.dataset_module_factory`: a path and options in, a `DatasetModule` out."""


def install() -> None:
    """Wrap the factory of `datasets` now if it is imported, else as soon as it is; repeating does nothing."""
    module = sys.modules.get(_TARGET)
    if module is not None:
        _wrap_factory(module)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds `datasets.load` where Python finds it, and asks for it to be wrapped after it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WrappingLoader(spec.loader)
        return spec


class _WrappingLoader(Loader):
    """Loads a module as `loader` does, gives `loader` its place back, and wraps the factory."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _wrap_factory(module)


def _wrap_factory(load: ModuleType) -> None:
    original: Factory | None = getattr(load, _FACTORY, None)
    if original is None or hasattr(original, _MARK):
        return
    resolving = _resolving(original)
    # `datasets.inspect` holds a second name for the same function when it was imported before.
    for module in (load, sys.modules.get("datasets.inspect")):
        if getattr(module, _FACTORY, None) is original:
            setattr(module, _FACTORY, resolving)


def _resolving(original: Factory) -> Factory:
    """The factory with `rope`, and the path of any dataset directory, handed to this package; other paths pass."""

    @functools.wraps(original)
    def dataset_module_factory(path: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 -- another library's types
        if path == DATASET_NAME:
            address = options.pop("data_dir", None)
        elif _is_dataset_directory(path) and options.get("data_dir") is None and options.get("data_files") is None:
            address = path
        else:
            return original(path, *args, **options)
        from rope.dataset.builder import dataset_module

        return dataset_module(address, options.get("data_files"))

    setattr(dataset_module_factory, _MARK, True)
    return dataset_module_factory


def _is_dataset_directory(path: str) -> bool:
    return (Path(path) / "rope.json").is_file()
