"""Embedders to compare with; each is a module here, named `baselines:MODULE` on the command line.

Importing this package imports none of them: a module is loaded when it is asked for.
"""

from importlib import import_module
from types import ModuleType

__all__ = [
    "chinese_clip",
    "clap",
    "clip4clip",
    "fashion_clip",
    "handcrafted",
    "llm_text",
    "mteb_model",
    "open_clip",
    "sentence_transformer",
    "transformers_model",
    "xclip",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
