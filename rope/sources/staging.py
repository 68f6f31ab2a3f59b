"""From rows that a reader has parsed to the tables that a build expects, with contradictions taken out.

A reader hands over samples and frames one by one, each with the file and line where it stands. What is the same for all
formats is done here, in the database: repeated and contradicting rows, leaks between the splits, frames without a
sample and samples without an image, categories by product, canonical order.
"""

# ruff: noqa: S608 -- SQL is put together from splits, domains and kinds of faults, which are closed sets

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final

import duckdb
import pyarrow as pa

from rope.domain import DOMAINS, DomainName, Split, with_published
from rope.schema import EMPTY_TEXT
from rope.sources.faults import FILES_TABLE, MAX_ID_LENGTH, UNREADABLE, ReleaseFault, shortened

__all__ = ["FrameRow", "SampleRow", "Staging"]

_BUFFERED: Final = 1 << 16
"""Rows kept as Python objects before they go into the database."""

_TYPES: Final = {"line": pa.int64(), "time": pa.int64()}


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample as a release describes it.

    Attributes:
        file: name of the text file.
        line: line in it, from 1; 0 where lines mean nothing.
        split: its split.
        domain: its domain.
        sample_id: unique inside the domain.
        product_id: its product.
        text: None where there is none.
        category: of the product.
        video: name of its video file, relative to the image root; None for a sample that consists of frames.
        gallery: the group of samples that it is searched among; None for those without one.
        audio: name of a file with its sound, relative to the image root; None for those without one, and for videos.
    """

    file: str
    line: int
    split: Split
    domain: DomainName
    sample_id: str
    product_id: str
    text: str | None = None
    category: str | None = None
    video: str | None = None
    gallery: str | None = None
    audio: str | None = None


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One image of a sample; `time` is as `frame_times` of a dataset, `image` relative to the image root."""

    file: str
    line: int
    split: Split
    domain: DomainName
    sample_id: str
    time: int
    image: str


@dataclass(slots=True)
class Staging:
    """Takes the rows of a release into an empty database; `finish` makes the tables that a build reads."""

    connection: duckdb.DuckDBPyConnection
    _waiting: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table, row in _TABLES.items():
            columns = ", ".join(f"{name} {_sql_type(name)}" for name in _names(row))
            self.connection.execute(f"CREATE TABLE {table} ({columns})")

    def add(self, row: SampleRow | FrameRow | ReleaseFault) -> None:
        """Take one row; its id must not be empty, and its image name must lie inside the image root.

        Instead of a row with an id that is too long, the fault is taken.
        """
        if not isinstance(row, ReleaseFault) and max(map(len, _ids(row))) > MAX_ID_LENGTH:
            row = ReleaseFault(row.file, row.line, "long_id", shortened(row.sample_id))
        table = _TABLE_OF[type(row)]
        waiting = self._waiting.setdefault(table, [])
        waiting.append(_VALUES_OF[table](row))
        if len(waiting) >= _BUFFERED:
            self._flush(table)

    def finish(
        self, splits: tuple[Split, ...], domains: Iterable[DomainName] = (), n_rows: Mapping[str, int] | None = None
    ) -> None:
        """Take out what contradicts itself, and make the tables of `rope.sources.source.Stage`.

        Args:
            splits: those of the release.
            domains: those of its domains that are none of ROPE's.
            n_rows: how many rows each file has, of whatever kind.
        """
        for table in list(self._waiting):
            self._flush(table)
        self.connection.execute(FILES_TABLE)
        for file, n in (n_rows or {}).items():
            self.connection.execute(_COUNT_BAD, [file, n, file])
        for statement in (*_MARK_SAMPLES, *_MARK_FRAMES, *_REPORT):
            self.connection.execute(statement)
        for split in splits:
            for domain in with_published(domains):
                self.connection.execute(_samples_table(split, domain))
                self.connection.execute(_frames_table(split, domain))
        for table in ("raw_samples", "raw_frames", "categories"):
            self.connection.execute(f"DROP TABLE {table}")

    def _flush(self, table: str) -> None:
        rows = self._waiting.pop(table)
        names = _names(_TABLES[table])
        columns = [
            pa.array(column, _TYPES.get(name, pa.string()))
            for name, column in zip(names, zip(*rows, strict=True), strict=True)
        ]
        self.connection.register("waiting", pa.table(columns, names=names))
        self.connection.execute(f"INSERT INTO {table} SELECT * FROM waiting")
        self.connection.unregister("waiting")


def _names(row: type[SampleRow | FrameRow | ReleaseFault]) -> list[str]:
    return [one.name for one in fields(row)]


_TABLES: Final[dict[str, type[SampleRow | FrameRow | ReleaseFault]]] = {
    "raw_samples": SampleRow,
    "raw_frames": FrameRow,
    "faults": ReleaseFault,
}
_TABLE_OF: Final[dict[type, str]] = {row: table for table, row in _TABLES.items()}
_VALUES_OF: Final[dict[str, Callable[[object], tuple[Any, ...]]]] = {
    table: attrgetter(*_names(row)) for table, row in _TABLES.items()
}


_COUNT_BAD: Final = f"""INSERT INTO files SELECT ?, ?,
    (SELECT count(DISTINCT CASE WHEN line > 0 THEN line::VARCHAR ELSE subject END) FROM faults
     WHERE file = ? AND kind IN {UNREADABLE}), true"""


def _ids(row: SampleRow | FrameRow) -> tuple[str, ...]:
    """The ids and names of files of a row."""
    if isinstance(row, FrameRow):
        return row.sample_id, row.image
    return row.sample_id, row.product_id, row.video or "", row.audio or "", row.gallery or ""


def _sql_type(column: str) -> str:
    return "BIGINT" if column in _TYPES else "VARCHAR"


# Rows of one key are compared as a whole: the graver disagreement names the fault.
_MARK_SAMPLES: Final = (
    "ALTER TABLE raw_samples ADD COLUMN fault VARCHAR",
    """CREATE TEMP TABLE several AS
    SELECT split, domain, sample_id, min(rowid) AS first,
        CASE WHEN min(product_id) <> max(product_id) THEN 'product_conflict'
             WHEN count(DISTINCT coalesce(video, '')) > 1 OR count(DISTINCT coalesce(gallery, '')) > 1
                 THEN 'sample_conflict'
             WHEN count(DISTINCT coalesce(text, '')) > 1 THEN 'text_conflict'
             ELSE 'repeated_row' END AS fault
    FROM raw_samples GROUP BY ALL HAVING count(*) > 1""",
    """UPDATE raw_samples SET fault = several.fault FROM several
    WHERE raw_samples.split = several.split AND raw_samples.domain = several.domain
        AND raw_samples.sample_id = several.sample_id
        AND (several.fault IN ('product_conflict', 'sample_conflict')
             OR several.first <> raw_samples.rowid)""",
    """UPDATE raw_samples SET text = NULL FROM several
    WHERE raw_samples.split = several.split AND raw_samples.domain = several.domain
        AND raw_samples.sample_id = several.sample_id AND several.fault = 'text_conflict'""",
    "DROP TABLE several",
    """UPDATE raw_samples SET fault = 'product_in_both_splits'
    WHERE split = 'train' AND fault IS NULL
        AND product_id IN (SELECT product_id FROM raw_samples WHERE split = 'validation' AND fault IS NULL)""",
    """UPDATE raw_samples SET fault = 'sample_in_both_splits'
    WHERE split = 'train' AND fault IS NULL AND (domain, sample_id) IN
        (SELECT (domain, sample_id) FROM raw_samples WHERE split = 'validation' AND fault IS NULL)""",
)

_MARK_FRAMES: Final = (
    "ALTER TABLE raw_frames ADD COLUMN fault VARCHAR",
    """CREATE TEMP TABLE several AS
    SELECT split, domain, sample_id, time, min(rowid) AS first,
        CASE WHEN min(image) = max(image) THEN 'repeated_row' ELSE 'frame_conflict' END AS fault
    FROM raw_frames GROUP BY ALL HAVING count(*) > 1""",
    """UPDATE raw_frames SET fault = several.fault FROM several
    WHERE raw_frames.split = several.split AND raw_frames.domain = several.domain
        AND raw_frames.sample_id = several.sample_id AND raw_frames.time = several.time
        AND (several.fault = 'frame_conflict' OR several.first <> raw_frames.rowid)""",
    "DROP TABLE several",
)

_TEXT_SUFFICES: Final = f"domain NOT IN {DOMAINS} AND nullif(text, '{EMPTY_TEXT}') IS NOT NULL"
"""Of a row of `raw_samples`; see `rope.domain.may_be_text_alone`."""

_KEY: Final = "split, domain, sample_id"
_REPORT: Final = (
    "INSERT INTO faults SELECT file, line, fault, sample_id FROM raw_samples WHERE fault IS NOT NULL",
    """INSERT INTO faults SELECT file, line, fault, concat_ws(', ', sample_id, time, image) FROM raw_frames
    WHERE fault IS NOT NULL""",
    f"""INSERT INTO faults SELECT min(file), min(line), 'no_product', sample_id
    FROM raw_frames ANTI JOIN raw_samples USING ({_KEY}) WHERE fault IS NULL GROUP BY {_KEY}""",
    f"""INSERT INTO faults SELECT file, line, 'no_image', sample_id
    FROM raw_samples ANTI JOIN (SELECT {_KEY} FROM raw_frames WHERE fault IS NULL) USING ({_KEY})
    WHERE fault IS NULL AND video IS NULL AND NOT ({_TEXT_SUFFICES})""",
    """CREATE TABLE categories AS
    SELECT product_id, CASE WHEN min(category) = max(category) THEN min(category) END AS category,
        min(category) <> max(category) AS disagree, min({'file': file, 'line': line}) AS first
    FROM raw_samples WHERE fault IS NULL AND category IS NOT NULL GROUP BY product_id""",
    """INSERT INTO faults SELECT first.file, first.line, 'category_conflict', product_id
    FROM categories WHERE disagree""",
)


def _samples_table(split: Split, domain: DomainName) -> str:
    at = f"split = '{split}' AND domain = '{domain}' AND fault IS NULL"
    return f"""
        CREATE TABLE samples_{split}_{domain} AS
        WITH counted AS (SELECT sample_id, count(*) AS n_frames FROM raw_frames WHERE {at} GROUP BY sample_id)
        SELECT sample_id, product_id, nullif(text, '{EMPTY_TEXT}') AS text, categories.category,
            coalesce(n_frames, 0) AS n_frames, line, file, CASE WHEN n_frames IS NULL THEN video END AS video, audio,
            gallery
        FROM (SELECT * EXCLUDE (category) FROM raw_samples WHERE {at})
            LEFT JOIN counted USING (sample_id) LEFT JOIN categories USING (product_id)
        WHERE n_frames IS NOT NULL OR video IS NOT NULL OR ({_TEXT_SUFFICES})
        ORDER BY length(sample_id), sample_id"""


def _frames_table(split: Split, domain: DomainName) -> str:
    return f"""
        CREATE TABLE frames_{split}_{domain} AS
        SELECT sample_id, time, image FROM raw_frames SEMI JOIN samples_{split}_{domain} USING (sample_id)
        WHERE split = '{split}' AND domain = '{domain}' AND fault IS NULL
        ORDER BY length(sample_id), sample_id, time"""
