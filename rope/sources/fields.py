"""Numbered lines split into fields at their first commas, a batch at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["part_fields"]


def part_fields(lines: pa.RecordBatch, names: tuple[str, ...]) -> pa.RecordBatch:
    """Part each line at its first `len(names) - 1` commas; the last field keeps all further ones.

    Blanks around a field are taken off, whatever Unicode counts as such. Lines of nothing else are left out. The
    fields of a line with too few commas are all empty, those of a line that is not UTF-8 too.

    Args:
        lines: of `rope.sources.lines.LINE_SCHEMA`.
        names: of the fields; at least two.

    Returns:
        The columns `line` and `text` as they were, and one column of strings for each name.

    >>> lines = pa.record_batch({"line": [1, 2, 3], "text": ["7,  a, b ", " ", "no comma"]})
    >>> part_fields(lines, ("id", "title")).to_pylist()
    [{'line': 1, 'text': '7,  a, b ', 'id': '7', 'title': 'a, b'},
     {'line': 3, 'text': 'no comma', 'id': '', 'title': ''}]
    """
    bare, n = pc.utf8_trim_whitespace(lines["text"]), len(names)
    is_blank = pc.fill_null(pc.equal(bare, ""), False)
    if pc.any(is_blank).as_py():  # seldom, and a filter copies everything
        lines, bare = lines.filter(pc.invert(is_blank)), bare.filter(pc.invert(is_blank))
    parts = _parted(bare, n)
    is_whole = pc.fill_null(pc.equal(pc.list_value_length(parts), n), False)
    if not pc.all(is_whole).as_py():
        parts = _parted(pc.if_else(is_whole, bare, "," * (n - 1)), n)
    flat = parts.flatten()
    fields = [pc.utf8_trim_whitespace(flat.take(pa.array(np.arange(i, len(flat), n)))) for i in range(n)]
    return pa.record_batch([lines["line"], lines["text"], *fields], names=["line", "text", *names])


def _parted(texts: pa.StringArray, n: int) -> pa.ListArray:
    return pc.split_pattern(texts, ",", max_splits=n - 1)
