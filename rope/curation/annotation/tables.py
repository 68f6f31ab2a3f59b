"""Tables that people fill in: CSV in the encodings and with the separators that spreadsheets write."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rope.errors import FileError

__all__ = ["decode_text", "read_table"]

_SEPARATORS: Final = ",;\t"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode_text(path: Path) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, UTF-16 with one, or GB 18030.

    Excel writes a CSV in the encoding of the system, which is GBK in China; GB 18030 contains it.

    Raises:
        FileError: the file is in none of these.
    """
    content = path.read_bytes()
    for encoding in ("utf-16",) if content.startswith(_UTF_16) else ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileError(f"{path}: is neither UTF-8, UTF-16 nor GB 18030; save it as CSV in UTF-8")


def read_table(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The columns of a CSV file, and its rows with their line numbers; blank lines are ignored.

    Values are separated by commas, semicolons or tabs: by what the first line has most of.

    Raises:
        FileError: the file is in no known encoding, or a line has more values than there are columns.
    """
    text = decode_text(path)
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count), restval="")
    return [name.strip() for name in reader.fieldnames or ()], _rows(reader, path)


def _rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in reader:
            if None in row:
                raise FileError(
                    f"{path}:{reader.line_num}: has more values than the {len(row) - 1} columns; quote those that "
                    "hold a separator"
                )
            yield reader.line_num, {name.strip(): value for name, value in row.items()}
    except csv.Error as error:
        raise FileError(f"{path}:{reader.line_num}: not readable as CSV: {error}") from error
