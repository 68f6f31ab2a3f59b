"""Sound cut into what a speech model takes, and texts of the parts put together; no model in here."""

import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.media.audio import Sound

__all__ = ["CHUNK_S", "RATE", "is_quiet", "is_stuck", "joined", "split_sound"]

RATE: Final = 16_000
"""Samples a second, as Whisper hears."""

CHUNK_S: Final = 30
"""The longest part, as Whisper hears."""

_SEARCH_S: Final = 5
"""How long before that end a part may be cut, where it is quietest: seldom inside a word."""

_FRAME: Final = RATE // 50
_SMOOTHED: Final = 10
"""Frames of 20 ms whose loudness is averaged: what lasts 0.2 s is a pause, and no consonant."""

_QUIET_DB: Final = -60.0
"""Below full scale; rooms are louder, while digital silence and dither are not (assumed)."""

_STUCK_RATIO: Final = 2.4
"""How well a text must compress to count as a model going round in circles; the figure of Whisper's authors."""


def split_sound(pieces: Iterable[Sound]) -> Iterator[Sound]:
    """A sound at 16 kHz in parts of at most 30 s, each cut at the quietest place of its last 5 s.

    Args:
        pieces: the sound in order, float32 [n] each.

    Yields:
        float32 [n]; together they are the sound. The last one may be short.
    """
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        while len(rest) > CHUNK_S * RATE:
            end = _quietest(rest[: CHUNK_S * RATE])
            yield rest[:end]
            rest = rest[end:]
    if len(rest):
        yield rest


def is_quiet(sound: Sound) -> bool:
    """Whether no 20 ms of a sound are louder than -60 dB of full scale, so that there is nothing to hear.

    >>> is_quiet(np.zeros(16_000, np.float32)), is_quiet(np.full(16_000, 0.1, np.float32))
    (True, False)
    """
    return bool(_loudness(sound).max(initial=0.0) < 10 ** (_QUIET_DB / 10))


def is_stuck(text: str) -> bool:
    """Whether a text repeats itself as models do on music or noise: it compresses to less than 1 / 2.4.

    >>> is_stuck("this cup keeps tea hot for six hours"), is_stuck("thank you for watching " * 9)
    (False, True)
    """
    content = text.encode()
    return len(content) > _STUCK_RATIO * len(zlib.compress(content))


def joined(texts: Sequence[str]) -> str:
    """The texts of parts as one, with a blank in between but where both sides are of a script without blanks.

    >>> joined([" a red", "cup. "]), joined(["这款", "", "杯子"]), joined(["", " "])
    ('a red cup.', '这款杯子', '')
    """
    whole = ""
    for text in filter(None, (" ".join(text.split()) for text in texts)):
        whole += text if not whole or (_is_wide(whole[-1]) and _is_wide(text[0])) else f" {text}"
    return whole


def _quietest(sound: Sound) -> int:
    """Where to cut: the middle of the quietest 0.2 s among the last 5 s, the last of several."""
    smooth = np.convolve(_loudness(sound[-_SEARCH_S * RATE :]), np.ones(_SMOOTHED), "valid")
    frame = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return len(sound) - _SEARCH_S * RATE + (frame + _SMOOTHED // 2) * _FRAME


def _loudness(sound: Sound) -> npt.NDArray[np.float64]:
    """Mean square of each 20 ms, the last filled up with silence: [frames]."""
    padded = np.pad(sound.astype(np.float64), (0, -len(sound) % _FRAME))
    power: npt.NDArray[np.float64] = np.square(padded).reshape(-1, _FRAME).mean(axis=1)
    return power


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
