"""Fonts for drawn text that may be Chinese: one that has the characters, or no text rather than empty boxes."""

from functools import lru_cache
from typing import Final

from PIL import ImageFont

__all__ = ["Font", "drawable", "find_font", "fit"]

Font = ImageFont.FreeTypeFont

_WITH_CHINESE: Final = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "SourceHanSansCN-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "simhei.ttf",
    "simsun.ttc",
)
"""Files that Linux, macOS and Windows keep where Pillow looks for fonts."""

_UNASSIGNED: Final = "\U000ffffd"
_TOLERATED_LOSS: Final = 0.25


@lru_cache(maxsize=16)
def find_font(size: int) -> Font:
    """The first font with Chinese that is installed, else the Latin one that Pillow brings; `size` in pixels."""
    for name in _WITH_CHINESE:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels are built with FreeType"
    return font


def drawable(text: str, font: Font) -> str:
    r"""The text on one line without the characters that the font lacks; empty when they are more than a quarter.

    >>> font = ImageFont.load_default(12)
    >>> drawable("Oat  milk \U0001f525", font), drawable("燕麦奶 1L", font)
    ('Oat milk', '')
    """
    visible = [character for character in text if not character.isspace()]
    lost = {character for character in visible if not _has_glyph(font, character)}
    if not visible or sum(character in lost for character in visible) > _TOLERATED_LOSS * len(visible):
        return ""
    return " ".join("".join(character for character in text if character not in lost).split())


def fit(text: str, font: Font, width: int, n_lines: int) -> list[str]:
    """The text broken into at most `n_lines` lines of `width` pixels; `…` marks what is left out.

    Lines break at blanks where one is in the second half of a line, else between any two characters, as
    Chinese does.

    >>> fit("one two three", ImageFont.load_default(12), 45, 2)
    ['one two', 'three']
    """
    lines: list[str] = []
    rest = text
    while rest and len(lines) < n_lines:
        end = _longest_prefix(rest, font, width)
        if end < len(rest) and (blank := rest.rfind(" ", end // 2, end + 1)) > 0:
            end = blank
        lines.append(rest[:end].strip())
        rest = rest[end:].strip()
    if rest:
        end = _longest_prefix(lines[-1], font, width - int(font.getlength("…")))
        lines[-1] = lines[-1][:end].rstrip() + "…"
    return lines


def _longest_prefix(text: str, font: Font, width: int) -> int:
    """How many characters fit; at least one."""
    end = 1
    while end < len(text) and font.getlength(text[: end + 1]) <= width:
        end += 1
    return end


@lru_cache(maxsize=4096)
def _has_glyph(font: Font, character: str) -> bool:
    """Whether a character is drawn differently than one that no font has."""
    missing = font.getmask(_UNASSIGNED)
    drawn = font.getmask(character)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))
