"""Cross-domain product datasets: build, load and validate them, and benchmark representations on them.

Importing this package registers the dataset `rope`, so that `datasets.load_dataset("rope", "pages")` works.
It imports nothing heavy: what it offers is loaded at first use.
"""

from typing import TYPE_CHECKING

from rope.clash import check as _check
from rope.dataset.hook import install as _install
from rope.moved import install as _install_old_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from rope.dataset.load import load_dataset as load_dataset

__all__ = ["__version__", "load_dataset"]

__version__: str

_check()
_install()
_install_old_names()


def __getattr__(name: str) -> "str | Callable[..., object]":
    if name == "__version__":
        from importlib.metadata import version

        return version("rope-bench")
    if name == "load_dataset":
        from rope.dataset.load import load_dataset

        return load_dataset
    raise AttributeError(f"module 'rope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
