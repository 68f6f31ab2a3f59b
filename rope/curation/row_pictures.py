"""Small pictures of rows, for pages that load nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.dataset.pictures import SamplePicture, picture_of
from rope.dataset.sample_rows import sample_of
from rope.sql import parquet_files

__all__ = ["RowPictures", "read_records"]

_MOST_CHARACTERS: Final = 4_000_000
"""Of all pictures of a page: about 1,300 of them."""

_COLUMNS: Final = ("id", "domain", "text", "frames", "video", "shown_frames")


def read_records(paths: Sequence[Path], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Id -> the row, with what a picture of it needs; rows that are not there are left out.

    Args:
        paths: Parquet files that a stage has written.
        ids: of rows.
    """
    if not ids or not paths:
        return {}
    with duckdb.connect() as connection:
        sql = f"SELECT DISTINCT filename FROM {parquet_files(paths)[:-1]}, filename = true) WHERE list_contains(?, id)"  # noqa: S608
        files = sorted(row[0] for row in connection.execute(sql, [list(ids)]).fetchall())
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        names = [name for name in _COLUMNS if name in pq.read_schema(path).names]
        for record in pq.read_table(path, columns=names, filters=pc.field("id").isin(list(ids))).to_pylist():
            found.setdefault(record["id"], record)
    return found


class RowPictures:
    """Pictures of rows, each made once, until they take more than a page should."""

    def __init__(self, most_characters: int = _MOST_CHARACTERS) -> None:
        self._left = most_characters
        self._made: dict[str, SamplePicture] = {}

    def of(self, record: Mapping[str, Any] | None, n_frames: int = 1) -> SamplePicture:
        """What is shown of a row of `read_records`: frames that show the product, where a stage has said which do."""
        if record is None:
            return SamplePicture((), None, "no longer there")
        if record["id"] not in self._made:
            sample = sample_of({**_shown(record), "sample_id": record["id"]}, record["domain"])
            self._made[record["id"]] = picture_of(sample, n_frames)
        picture = self._made[record["id"]]
        if self._left <= 0 and picture.images:
            return SamplePicture((), picture.text, "the page is full")
        self._left -= sum(map(len, picture.images))
        return picture


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    frames, places = record.get("frames") or [], record.get("shown_frames") or []
    chosen = [frames[place] for place in places if place < len(frames)]
    return {**record, "frames": chosen or frames}
