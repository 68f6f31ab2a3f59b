"""COPE: one vector space for product pages, short videos and live clips (Bai et al., ICCV 2023).

What this package offers is loaded at first use, since it stands on torch and transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from rope.extras import needed_by

if TYPE_CHECKING:
    from cope.config import ContrastiveWeights as ContrastiveWeights
    from cope.config import CopeConfig as CopeConfig
    from cope.config import LossConfig as LossConfig
    from cope.embed import CopeEmbedder
    from cope.model import Cope as Cope
    from cope.released import load_released as load_released

__all__ = ["ContrastiveWeights", "Cope", "CopeConfig", "LossConfig", "embedder", "load_released"]

_MODULE_OF: Final = {
    "ContrastiveWeights": "config",
    "Cope": "model",
    "CopeConfig": "config",
    "LossConfig": "config",
    "load_released": "released",
}


def embedder(path: str, *, device: str = "", batch_size: str = "32") -> "CopeEmbedder":
    """What `rope-bench run --model cope:PATH` embeds with; see `cope.embed.load_cope_embedder`."""
    with needed_by(f"cope:{path}", "cope"):
        from cope.embed import load_cope_embedder

    return load_cope_embedder(path, device=device, batch_size=batch_size)


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        with needed_by(f"cope.{name}", "cope"):
            return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
