"""Where a model computes, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, get_args

import torch
from transformers.utils import logging

from rope.errors import UsageError

__all__ = ["PRECISIONS", "Precision", "choose_device", "choose_dtype", "without_bars"]

Precision = Literal["fp32", "bf16", "fp16"]

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU where there is one.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises:
        UsageError: torch knows no such device, or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}; try cpu, cuda or auto"
        ) from error


def choose_dtype(precision: str) -> torch.dtype:
    """The floating type of `fp32`, `bf16` or `fp16`.

    >>> choose_dtype("bf16")
    torch.bfloat16

    Raises:
        UsageError: it is another word.
    """
    if precision not in _DTYPES:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    return _DTYPES[precision]


@contextmanager
def without_bars() -> Iterator[None]:
    """Load models without the bars that transformers draws, even where stderr is not a terminal."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
