"""The layout of the official ROPE release: three text files a split and domain, joined by id in a DuckDB database.

| file, after `training_` or `test_` | row |
|---|---|
| `product_pages_pair.txt`, `product_videos_pair.txt`, `product_lives_pair.txt` | product id, sample id |
| `page_titles.txt`, `video_asrs.txt`, `live_asrs.txt` | sample id, text; the text may hold commas |
| `page_images.txt` | page id, image name |
| `video_frames.txt`, `live_clips.txt` | sample id, frame number or timestamp in ms, image name |

A release in this layout may lack a domain, and may have others. The files of a domain `review` are
`product_reviews_pair.txt`, `review_texts.txt` and `review_images.txt`, with rows as those of videos; one of the last
two may be empty.

Fields are separated by a comma; blanks around a field, CR, a byte order mark and empty lines mean nothing. `空` stands
for an empty text. `products.tsv`, where there is one, gives categories; see `rope.sources.categories`. Any file may be
compressed, with `.gz` or `.zst` after its name. What is done about faults is said in `rope.sources.faults`.

The full release has 12 million samples and hundreds of millions of frame rows, so everything that grows with it stays
in the database, which keeps within its memory limit by going to disk. Storing and sorting rows of images is most of the
work, so that it is done once: they are sorted as they are read, what repeats stands side by side from then on, and what
has to go is deleted in place.
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from rope.domain import (
    SPLITS,
    DomainName,
    Split,
    config_of,
    domain_of_config,
    domain_problem,
    may_be_text_alone,
    with_published,
)
from rope.errors import ReleaseError, UsageError
from rope.schema import EMPTY_TEXT
from rope.sources.categories import read_categories
from rope.sources.faults import FILES_TABLE, MAX_ID_LENGTH, quoted_sql
from rope.sources.fields import part_fields
from rope.sources.lines import LINE_SCHEMA
from rope.sources.reading import Reading, registered
from rope.sources.text import text_files

__all__ = ["Release", "find_release", "looks_like", "pair_file", "stage_release"]

_PREFIX_OF: Final[dict[Split, str]] = {"train": "training_", "validation": "test_"}
_TEXTS_OF: Final[dict[DomainName, str]] = {
    "page": "page_titles.txt",
    "video": "video_asrs.txt",
    "live": "live_asrs.txt",
}
_IMAGES_OF: Final[dict[DomainName, str]] = {
    "page": "page_images.txt",
    "video": "video_frames.txt",
    "live": "live_clips.txt",
}
_PRODUCTS_FILE: Final = "products.tsv"
_GOOD_TEXT: Final = "fault IS NULL AND body IS NOT NULL"

_SAMPLE_COLUMNS: Final = (
    "sample_id VARCHAR, product_id VARCHAR, text VARCHAR, category VARCHAR, n_frames BIGINT, line BIGINT"
)
_FRAME_COLUMNS: Final = "sample_id VARCHAR, time BIGINT, image VARCHAR"
"""Of the tables of a domain that a release lacks."""


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a release.

    Attributes:
        folder: where they are.
        splits: the splits that it has.
        domains: the domains that it has.
        files: names of the text files, in the order in which they are read -> as they are on disk, maybe compressed.
        encoding: of files without a byte order mark; None for UTF-8.
    """

    folder: Path
    splits: tuple[Split, ...]
    domains: tuple[DomainName, ...]
    files: Mapping[str, str]
    encoding: str | None = None


def looks_like(folder: Path) -> bool:
    """Whether a folder holds a text file of a ROPE release."""
    names = text_files(folder)
    return bool(_domains_in(names)) or any(_pair_files(names))


def find_release(folder: Path, encoding: str | None = None) -> Release:
    """Look which splits and domains a folder has, and whether they are complete.

    Args:
        folder: where the text files are.
        encoding: of those without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it holds no split, a file of a split and domain is missing, or a domain has a name that cannot be.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of a ROPE release")
    found = text_files(folder)
    splits = tuple(split for split in SPLITS if fnmatch.filter(found, f"{_PREFIX_OF[split]}*.txt"))
    _check_domains(folder, found)
    domains = _domains_in(found)
    names = [name for split in splits for domain in domains for name in _names(split, domain)]
    missing = [name for name in names if name not in found]
    if missing or not domains:
        example = _names("train", "page")[0]
        raise ReleaseError(
            f"{folder}: {', '.join(missing) or f'no text file such as {example}'} is missing; a ROPE release has nine "
            "text files for each split, three a domain, with names that begin with training_ or test_"
        )
    if _PRODUCTS_FILE in found:
        names.append(_PRODUCTS_FILE)
    return Release(folder, splits, domains, {name: found[name] for name in names}, encoding)


def _pair_files(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files that give the products of samples, each with what its name says the samples are."""
    for split in SPLITS:
        before, after = f"{_PREFIX_OF[split]}product_", "_pair.txt"
        for name in fnmatch.filter(names, f"{before}*{after}"):
            yield name, name.removeprefix(before).removesuffix(after)


def _check_domains(folder: Path, names: Mapping[str, str]) -> None:
    for name, config in _pair_files(names):
        if domain_of_config(config) is None:
            domain = config.removesuffix("s")
            problem = domain_problem(domain) or "lacks the s of the plural, as in product_reviews_pair.txt"
            raise ReleaseError(f"{folder / name}: the domain {domain!r} {problem}")


def _domains_in(names: Mapping[str, str]) -> tuple[DomainName, ...]:
    """The domains that have a file; where one is missing, a domain is not absent."""
    others = (domain_of_config(config) for _, config in _pair_files(names))
    named = with_published(domain for domain in others if domain is not None)
    return tuple(domain for domain in named if any(name in names for split in SPLITS for name in _names(split, domain)))


def _names(split: Split, domain: DomainName) -> tuple[str, str, str]:
    """The pair, text and image file of a split and domain."""
    prefix = _PREFIX_OF[split]
    texts, images = _TEXTS_OF.get(domain, f"{domain}_texts.txt"), _IMAGES_OF.get(domain, f"{domain}_images.txt")
    return prefix + f"product_{config_of(domain)}_pair.txt", prefix + texts, prefix + images


def pair_file(split: Split, domain: DomainName, files: Mapping[str, str]) -> str:
    """The file, among those of a release, that gives the products of the samples of a split and domain."""
    return files[_names(split, domain)[0]]


def stage_release(
    connection: duckdb.DuckDBPyConnection, release: Release, advance: Callable[[int], None]
) -> dict[str, str]:
    """Read a release into tables, in canonical order: by length of the id, then by the id.

    Tables, for each split and each domain of ROPE and of the release: `samples_SPLIT_DOMAIN` (sample_id, product_id,
    text, category, n_frames, line) and `frames_SPLIT_DOMAIN` (sample_id, time, image), frames of a sample by ascending
    time. And `categories` (product_id, category), and `faults` and `files` of `rope.sources.source.Stage`.

    Args:
        connection: an empty database.
        release: what to read.
        advance: called with the number of bytes read.

    Returns:
        Name of each file read -> SHA-256 of its bytes.

    Raises:
        ReleaseError: a file is not text, or `products.tsv` lacks a column.
    """
    connection.execute("CREATE TABLE faults (file VARCHAR, line BIGINT, kind VARCHAR, subject VARCHAR)")
    connection.execute(FILES_TABLE)
    reading = Reading(advance, release.encoding)
    for split in release.splits:
        for domain in release.domains:
            pairs, texts, images = _names(split, domain)
            for name, table, layout in (
                (pairs, f"pairs_{split}_{domain}", _PAIRS),
                (texts, f"texts_{split}_{domain}", _TEXTS),
                (images, f"images_{split}_{domain}", _PAGE_IMAGES if domain == "page" else _FRAMES),
            ):
                _read(connection, release.folder / release.files[name], table, layout, reading)
    products = release.files.get(_PRODUCTS_FILE)
    ids = " UNION ALL ".join(
        f"SELECT product_id FROM pairs_{split}_{domain}" for split in release.splits for domain in release.domains
    )
    read_categories(connection, release.folder / products if products else None, reading, ids)
    _mark_leaks(connection, release)
    for split in release.splits:
        for domain in release.domains:
            _mark_conflicts(connection, split, domain)
            _count_images(connection, split, domain)
            _report_faults(connection, split, domain, release.files)
            _join(connection, split, domain)
        for domain in with_published(release.domains):
            connection.execute(f"CREATE TABLE IF NOT EXISTS samples_{split}_{domain} ({_SAMPLE_COLUMNS})")
            connection.execute(f"CREATE TABLE IF NOT EXISTS frames_{split}_{domain} ({_FRAME_COLUMNS})")
    return reading.digests


@dataclass(frozen=True, slots=True)
class _Layout:
    """One kind of file.

    Attributes:
        fields: of a line.
        select: what makes rows of `split_lines`, which has the columns of `part_fields`; `fault` is null in good rows.
        order: of the table; empty for that of the file.
    """

    fields: tuple[str, ...]
    select: str
    order: str = ""


def _bad_field(*columns: str) -> str:
    """Cases of an id or image name that cannot be one."""
    return " ".join(
        f"""WHEN {column} = '' OR contains({column}, ',') THEN 'bad_row'
             WHEN length({column}) > {MAX_ID_LENGTH} THEN 'long_id'
             WHEN {quoted_sql(column)} THEN 'quoted_id'"""
        for column in columns
    )


_PAIRS: Final = _Layout(
    ("product_id", "sample_id"),
    f"""SELECT line, text, product_id, sample_id,
        CASE WHEN text IS NULL THEN 'bad_encoding' {_bad_field("product_id", "sample_id")} END AS fault
    FROM split_lines""",
)
_TEXTS: Final = _Layout(
    ("sample_id", "body"),
    f"""SELECT line, text, sample_id, nullif(nullif(body, '{EMPTY_TEXT}'), '') AS body,
        CASE WHEN text IS NULL THEN 'bad_encoding' {_bad_field("sample_id")} END AS fault
    FROM split_lines""",
)
_BAD_NAME: Final = r"""image LIKE '/%' OR contains(image, '\')
    OR (contains(image, '..') AND regexp_matches(image, '(^|/)\.\.(/|$)'))"""
"""The expression is slow, so that names without two dots are spared it."""
_BY_FRAME: Final = f"ORDER BY least(length(sample_id), {MAX_ID_LENGTH + 1})::USMALLINT, sample_id, time"
"""The shorter the first number, the more of the ids is compared at once."""
_PAGE_IMAGES: Final = _Layout(
    ("sample_id", "image"),
    f"""SELECT line, text, sample_id, 0::BIGINT AS time, image,
        CASE WHEN text IS NULL THEN 'bad_encoding' {_bad_field("sample_id", "image")}
             WHEN {_BAD_NAME} THEN 'bad_image_name' END AS fault
    FROM split_lines""",
    _BY_FRAME,
)
_FRAMES: Final = _Layout(
    ("sample_id", "number", "image"),
    f"""SELECT line, text, sample_id, try_cast(number AS BIGINT) AS time, image,
        CASE WHEN text IS NULL THEN 'bad_encoding'
             WHEN number = '' THEN 'bad_row' {_bad_field("sample_id", "image")}
             WHEN NOT regexp_full_match(number, '[+-]?[0-9]{{1,18}}') THEN 'bad_number'
             WHEN {_BAD_NAME} THEN 'bad_image_name' END AS fault
    FROM split_lines""",
    _BY_FRAME,
)


def _read(connection: duckdb.DuckDBPyConnection, path: Path, table: str, layout: _Layout, reading: Reading) -> None:
    """Read one file into a table."""
    schema = pa.schema([*LINE_SCHEMA, *((name, pa.string()) for name in layout.fields)])
    batches = (part_fields(lines, layout.fields) for lines in reading.batches(path))
    with registered(connection, "split_lines", schema, batches):
        connection.execute(f"""
            CREATE TABLE {table} AS
            SELECT * EXCLUDE (text), CASE WHEN fault IS NOT NULL THEN coalesce(left(text, 100), '') END AS bad
            FROM ({layout.select}) {layout.order}""")


def _mark_leaks(connection: duckdb.DuckDBPyConnection, release: Release) -> None:
    """Take products and samples of both splits out of the training split."""
    if len(release.splits) < 2:
        return
    everywhere = " UNION ".join(
        f"SELECT product_id FROM pairs_validation_{domain} WHERE fault IS NULL" for domain in release.domains
    )
    for domain in release.domains:
        for column, source, fault in (
            ("product_id", everywhere, "product_in_both_splits"),
            (
                "sample_id",
                f"SELECT sample_id FROM pairs_validation_{domain} WHERE fault IS NULL",
                "sample_in_both_splits",
            ),
        ):
            connection.execute(
                f"UPDATE pairs_train_{domain} SET fault = '{fault}' WHERE fault IS NULL AND {column} IN ({source})"
            )


def _mark_conflicts(connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName) -> None:
    """Mark rows that repeat or contradict others of the same key."""
    counted = "SELECT {keys} FROM {name} WHERE fault IS NULL GROUP BY {keys} HAVING count(*) > 1"
    neighbours = "SELECT {keys} FROM (SELECT {keys}, ({keys}) = lag(({keys})) OVER () AS again FROM {name}) WHERE again"
    for table, keys, value, fault, repeated in (
        ("pairs", "sample_id", "product_id", "product_conflict", counted),
        ("texts", "sample_id", "coalesce(body, '')", "text_conflict", counted),
        ("images", "sample_id, time", "image", "frame_conflict", neighbours),
    ):
        name = f"{table}_{split}_{domain}"
        connection.execute(f"""
            CREATE TEMP TABLE several AS
            SELECT {keys}, min(line) AS first_line, min({value}) = max({value}) AS agree
            FROM {name} SEMI JOIN ({repeated.format(name=name, keys=keys)}) USING ({keys})
            WHERE fault IS NULL GROUP BY {keys}""")
        same = " AND ".join(f"{name}.{key} = several.{key}" for key in keys.split(", "))
        connection.execute(f"""
            UPDATE {name} SET fault = CASE WHEN agree THEN 'repeated_row' ELSE '{fault}' END
            FROM several WHERE fault IS NULL AND {same} AND NOT (agree AND line = first_line)""")
        connection.execute("DROP TABLE several")


def _count_images(connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName) -> None:
    """Make the table `shown_SPLIT_DOMAIN` (sample_id, n_frames, line) of the good image rows of each sample."""
    connection.execute(f"""
        CREATE TEMP TABLE shown_{split}_{domain} AS
        SELECT sample_id, count(*) FILTER (fault IS NULL) AS n_frames, min(line) FILTER (fault IS NULL) AS line
        FROM images_{split}_{domain} WHERE bad IS NULL GROUP BY sample_id""")


def _report_faults(
    connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName, files: Mapping[str, str]
) -> None:
    """Add every fault of one split and domain to `faults`, and its files to `files`."""
    at = f"{split}_{domain}"
    pairs, texts, images = (files[name] for name in _names(split, domain))
    for file, table, subject in (
        (pairs, f"pairs_{at}", "sample_id"),
        (texts, f"texts_{at}", "sample_id"),
        (images, f"images_{at}", "concat_ws(', ', sample_id, time, image)"),
    ):
        connection.execute(
            f"INSERT INTO faults SELECT ?, line, fault, coalesce(bad, {subject}) FROM {table} WHERE fault IS NOT NULL",
            [file],
        )
    known = f"SELECT sample_id FROM pairs_{at} WHERE sample_id IS NOT NULL"
    for file, table, is_good in ((texts, f"texts_{at}", "fault IS NULL"), (images, f"shown_{at}", "n_frames > 0")):
        connection.execute(
            f"""INSERT INTO faults SELECT ?, min(line), 'no_product', sample_id FROM {table}
            WHERE {is_good} AND sample_id NOT IN ({known})
            GROUP BY sample_id""",
            [file],
        )
    shown = f"SELECT sample_id FROM shown_{at} WHERE n_frames > 0"
    if may_be_text_alone(domain):
        shown += f" UNION SELECT sample_id FROM texts_{at} WHERE {_GOOD_TEXT}"
    for found, fault in (
        (shown, "no_image"),
        (f"SELECT sample_id FROM texts_{at} WHERE sample_id IS NOT NULL", "no_text"),  # conflicts are reported as such
    ):
        connection.execute(
            f"""INSERT INTO faults SELECT ?, line, '{fault}', sample_id FROM pairs_{at}
            WHERE fault IS NULL AND sample_id NOT IN ({found})""",
            [pairs],
        )
    text_used = f"EXISTS (SELECT 1 FROM texts_{at} WHERE bad IS NULL AND sample_id IN ({known}))"
    image_used = f"EXISTS (SELECT 1 FROM shown_{at} WHERE sample_id IN ({known}))"
    may_be_empty = "true" if may_be_text_alone(domain) else f"NOT EXISTS ({known})"
    for file, table, is_used in (
        (pairs, "pairs", f"count(*) = 0 OR {text_used} OR {image_used}"),
        (texts, "texts", f"count(*) = 0 OR {text_used}"),
        (images, "images", f"(count(*) = 0 AND {may_be_empty}) OR {image_used}"),
    ):
        connection.execute(f"INSERT INTO files SELECT ?, count(*), count(bad), {is_used} FROM {table}_{at}", [file])


def _join(connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName) -> None:
    """Make the sorted tables of one split and domain, and drop the tables that they are made from."""
    at = f"{split}_{domain}"
    or_text = " OR good.body IS NOT NULL" if may_be_text_alone(domain) else ""
    connection.execute(f"""
        CREATE TABLE samples_{at} AS
        WITH counted AS (SELECT sample_id, n_frames FROM shown_{at} WHERE n_frames > 0),
             good AS (SELECT sample_id, body FROM texts_{at} WHERE fault IS NULL)
        SELECT pair.sample_id, pair.product_id, good.body AS text, category, coalesce(n_frames, 0) AS n_frames, line
        FROM pairs_{at} AS pair LEFT JOIN counted USING (sample_id)
            LEFT JOIN good USING (sample_id) LEFT JOIN categories USING (product_id)
        WHERE pair.fault IS NULL AND (n_frames IS NOT NULL{or_text})
        ORDER BY length(pair.sample_id), pair.sample_id""")
    connection.execute(f"DELETE FROM images_{at} WHERE fault IS NOT NULL")
    connection.execute(f"""
        DELETE FROM images_{at}
        WHERE sample_id IN (SELECT sample_id FROM shown_{at} ANTI JOIN samples_{at} USING (sample_id))""")
    for column in ("line", "fault", "bad"):
        connection.execute(f"ALTER TABLE images_{at} DROP COLUMN {column}")
    connection.execute(f"ALTER TABLE images_{at} RENAME TO frames_{at}")
    for table in ("pairs", "texts", "shown"):
        connection.execute(f"DROP TABLE {table}_{at}")
