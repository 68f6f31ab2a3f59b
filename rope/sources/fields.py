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
    bare = pc.utf8_trim_whitespace(lines["text"])
    is_row = pc.fill_null(pc.not_equal(bare, ""), True)
    lines, bare = lines.filter(is_row), pc.fill_null(bare.filter(is_row), "")
    n = len(names)
    is_whole = pc.greater_equal(pc.count_substring(bare, ","), n - 1)
    parts = pc.split_pattern(pc.if_else(is_whole, bare, "," * (n - 1)), ",", max_splits=n - 1).flatten()
    fields = [pc.utf8_trim_whitespace(parts.take(pa.array(np.arange(i, len(parts), n)))) for i in range(n)]
    return pa.record_batch([lines["line"], lines["text"], *fields], names=["line", "text", *names])
