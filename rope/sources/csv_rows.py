"""Rows of a CSV file in memory (RFC 4180), with fields of any length.

The module `csv` of Python takes fields of up to 131,072 characters; its limit is one for the whole process.
"""

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["csv_rows"]

_FIELD: Final = re.compile(r'"([^"]*(?:""[^"]*)*)"(?=[,\r\n]|\Z)|((?!")[^,\r\n]*)')
_END: Final = re.compile(r"\r\n|\r|\n")


def csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    r"""The rows of a CSV file, each with the number of the line where it ends, from 1; blank lines are ignored.

    A field is in quotation marks from its first character to its last, or has no meaning for them.

    >>> list(csv_rows('a,"b\n""c"" d"\r\n\n,27" wide'))
    [(2, ['a', 'b\n"c" d']), (4, ['', '27" wide'])]

    Raises:
        ValueError: a quotation mark is not closed, or text follows the closing one.
    """
    position, line, fields = 0, 1, list[str]()
    while position < len(text):
        found = _FIELD.match(text, position)
        if found is None:
            raise ValueError(f"line {line}: a quotation mark is not closed, or text follows the closing one")
        quoted, bare = found.groups()
        fields.append(bare if quoted is None else quoted.replace('""', '"'))
        line += len(_END.findall(quoted or ""))
        position = found.end()
        if text.startswith(",", position):
            position += 1
            if position < len(text):
                continue
            fields.append("")
        if fields != [""] or quoted is not None:
            yield line, fields
        end = _END.match(text, position)
        position, line, fields = end.end() if end else position, line + 1, []
