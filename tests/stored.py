"""What stands in `tests/data`, and how it is read; each folder's README.md says where it comes from.

The photos, the release and the pool are excerpts. Tests of them hold for larger ones of the same layout as well:
`ROPE_TEST_RELEASE` and `ROPE_TEST_POOL` name other folders.
"""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DATA = Path(__file__).with_name("data")
GOLDEN = DATA / "golden"
RELEASE = Path(os.environ.get("ROPE_TEST_RELEASE") or DATA / "grocery" / "release")
POOL = Path(os.environ.get("ROPE_TEST_POOL") or DATA / "grocery" / "pool")


def tensors(name: str) -> dict[str, torch.Tensor]:
    """The arrays of one golden file. bfloat16 is how float32 is stored where it loses nothing."""
    import torch
    from safetensors.torch import load

    stored = load(lzma.decompress((GOLDEN / f"{name}.safetensors.xz").read_bytes()))
    return {key: tensor.float() if tensor.dtype == torch.bfloat16 else tensor for key, tensor in stored.items()}


def facts(name: str) -> Any:
    """What else was recorded with golden arrays: texts, losses, figures."""
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def release_counts() -> dict[str, dict[str, int]]:
    """Split -> products, pages, videos and lives of the release, by the lines of its files."""
    return {
        split: {"products": _distinct(prefix, "pages", 0)}
        | {kind: _distinct(prefix, kind, 1) for kind in ("pages", "videos", "lives")}
        for split, prefix in (("train", "training"), ("validation", "test"))
    }


def _distinct(prefix: str, kind: str, column: int) -> int:
    lines = (RELEASE / f"{prefix}_product_{kind}_pair.txt").read_text("utf-8").splitlines()
    return len({line.split(", ")[column] for line in lines})
