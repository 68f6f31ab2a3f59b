"""A PNG without its texts, which Pillow refuses to read above a size."""

from typing import Final

__all__ = ["without_texts"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
"""Chunks that Pillow unpacks and that say nothing about the pixels that `rope.media` gives."""


def without_texts(content: bytes) -> bytes | None:
    r"""The same PNG without chunks of text and without a colour profile; None for what has none, or is not a PNG.

    >>> text = b"\0\0\0\1tEXt" + b"a" + b"crc."
    >>> without_texts(b"\x89PNG\r\n\x1a\n" + text + b"the rest") == b"\x89PNG\r\n\x1a\n" + b"the rest"
    True
    """
    if not content.startswith(_SIGNATURE):
        return None
    kept, start = [_SIGNATURE], len(_SIGNATURE)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")  # length, type and checksum around it
        if content[start + 4 : start + 8] not in _TEXTS:
            kept.append(content[start:end])
        start = end
    bare = b"".join(kept)
    return bare if len(bare) < len(content) else None
