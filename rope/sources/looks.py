"""Guesses what a file is that was given as text with fields, for error messages."""

from typing import Final

from rope.files import kind_of_start

__all__ = ["foreign_kind", "look_of"]

_PAGES: Final = ("an HTML", "a Git LFS")
"""Kinds of `rope.files` that are text themselves."""

_BETWEEN: Final = {"\t": "tabs", ";": "semicolons", "\uff0c": "full-width commas", "|": "vertical bars"}
_QUOTES: Final = "\"'\u201c\u2018\u300c"


def foreign_kind(head: bytes, *, is_decoded: bool) -> str:
    r"""What a file is whose beginning is not that of a text; empty for a text.

    Args:
        head: its first bytes, a few thousand.
        is_decoded: whether its encoding is known, and is not UTF-8.

    >>> foreign_kind(b"<html>", is_decoded=False)
    'an HTML page, as a failed download leaves it'
    >>> foreign_kind("1, a\n2, b\n".encode("utf-16-le"), is_decoded=False)
    'UTF-16 without a byte order mark; say so with --encoding utf-16-le'
    """
    kind = kind_of_start(head) if head else ""
    if kind.startswith(_PAGES):
        return kind
    if is_decoded or not head:
        return ""
    n_zeros = head.count(0)
    if kind and (n_zeros or not _is_utf8(head)):
        return kind
    if n_zeros < max(4, len(head) // 10):
        return ""
    n_odd = head[1::2].count(0)
    if n_zeros == len(head):
        return "zero bytes, as an interrupted download leaves them"
    if n_odd in (0, n_zeros):
        return f"UTF-16 without a byte order mark; say so with --encoding utf-16-{'le' if n_odd else 'be'}"
    return "binary"


def look_of(block: bytes) -> str:
    r"""What the lines of a file look like that could not be read; empty where there is nothing to say.

    Args:
        block: the beginning of its text; it may be cut inside a line.

    >>> look_of(b"1\ta\n2\tb\n")
    'fields separated by tabs'
    >>> look_of("1, \u6807\u9898\u5546\u54c1\n".encode("gb18030"))
    'text in GB18030; if it is, say so with --encoding gb18030'
    """
    whole = block[: block.rfind(b"\n")] if b"\n" in block else block
    if not _is_utf8(whole):
        return _encoding_of(whole)
    lines = [line.strip() for line in whole.decode().split("\n") if line.strip()][:1000]

    def most(n: int) -> bool:
        return 2 * n > len(lines)

    if most(sum(line[0] == "<" for line in lines)):
        return "HTML or XML, as a failed download leaves it"
    if most(sum(line[0] in "{[" and '"' in line for line in lines)):
        return "JSON"
    if not most(sum("," in line for line in lines)):
        for mark, name in _BETWEEN.items():
            if most(sum(mark in line for line in lines)):
                return f"fields separated by {name}"
    if most(sum(line[0] in _QUOTES for line in lines)):
        return "fields in quotation marks"
    return ""


def _encoding_of(content: bytes) -> str:
    """GB18030, where nine of ten characters are those of GB 2312; so are few in Big5 or Shift JIS, read as GB18030."""
    try:
        others = [char for char in content.decode("gb18030") if char > "\x7f"]
    except UnicodeDecodeError:
        others = []
    n_common = len("".join(others).encode("gb2312", "ignore")) // 2
    if others and 10 * n_common >= 9 * len(others):
        return "text in GB18030; if it is, say so with --encoding gb18030"
    return "text in another encoding than UTF-8; say which with --encoding"


def _is_utf8(content: bytes) -> bool:
    """Whether bytes are UTF-8, except for a character that is cut at the end."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.end >= len(content) and "unexpected end" in error.reason
    return True
