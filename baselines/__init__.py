"""Embedders and re-rankers to compare with; each is a module here, named `baselines:MODULE` on the command line.

Importing this package imports none of them: a module is loaded when it is requested.
"""

from importlib import import_module
from types import ModuleType
from typing import Final

from rope.extras import needed_by

__all__ = [
    "chinese_clip",
    "clap",
    "clip4clip",
    "cross_encoder",
    "evidence",
    "fashion_clip",
    "handcrafted",
    "http",
    "joint",
    "llm_text",
    "mteb_model",
    "open_clip",
    "sentence_transformer",
    "transformers_model",
    "xclip",
]

_EXTRA_OF: Final = {
    "cross_encoder": "baselines",
    "http": "cope,fetch",
    "joint": "baselines",
    "mteb_model": "mteb",
    "open_clip": "baselines",
    "sentence_transformer": "baselines",
}
"""The extra that a baseline needs where it is not `cope`; `handcrafted` and `evidence` need none."""


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        with needed_by(f"baselines:{name}", _EXTRA_OF.get(name, "cope")):
            return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
