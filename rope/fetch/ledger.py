"""The ledger of images that were given up: a line of JSON each, only ever appended."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import duckdb

from rope.errors import UsageError
from rope.fetch.outcome import LostImage
from rope.fetch.tables import keep_one

__all__ = ["Ledger", "load_ledger"]

_READ: Final = """read_json(?, format = 'newline_delimited', maximum_object_size = 1048576,
    columns = {'image': 'VARCHAR', 'reason': 'VARCHAR', 'status': 'BIGINT'})"""


class Ledger:
    """Appends to a ledger, which is made with its first line.

    Each line goes to the operating system whole and at once, so that a kill loses none. A last line without its end,
    which a power cut may leave, is taken off when the ledger is opened.
    """

    def __init__(self, path: Path) -> None:
        _take_off_torn_line(path)
        self._path = path

    def write(self, lost: Sequence[LostImage]) -> None:
        """Append a line for each image."""
        lines = [json.dumps(asdict(one)) + "\n" for one in lost]  # ASCII alone, whatever a name holds
        if lines:
            with self._path.open("ab", buffering=0) as file:
                file.write("".join(lines).encode())


def _take_off_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 4096)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            file.truncate(position)


def load_ledger(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make the table `lost` (image, reason, status) of a ledger; of several lines on an image the last counts.

    Raises:
        UsageError: a line is not JSON.
    """
    connection.execute("CREATE OR REPLACE TABLE lines (image VARCHAR, reason VARCHAR, status BIGINT)")
    if path.exists() and path.stat().st_size > 0:
        try:
            connection.execute(
                f"INSERT INTO lines SELECT image, reason, status FROM {_READ}",  # noqa: S608 -- a constant
                [re.sub(r"([\[*?])", r"[\1]", str(path))],
            )
        except duckdb.Error as error:
            raise UsageError(
                f"{path}: cannot be read as a ledger ({str(error).splitlines()[0]}); take out the line that is not JSON"
            ) from error
    keep_one(connection, "lines", "lost", "image, reason, status", "max")
