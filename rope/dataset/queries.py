"""The table of search queries of a dataset directory: `queries/SPLIT.parquet`, or the same as lines of JSON.

It lies beside the samples and is not part of the manifest: queries may be added to a dataset that exists, and its
fingerprint stays. The table has a fingerprint of its own.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.dataset.directory import SampleLabels, iter_rows, open_shard, read_labels
from rope.dataset.manifest import DatasetManifest
from rope.documents import parse_document
from rope.domain import DomainName, Frame, Split
from rope.errors import DatasetError, FileError, UsageError
from rope.files import AnyPath, atomic_path, reading_file, sha256_of
from rope.media.images import read_header
from rope.query import Positive, SampleKey, SearchQuery
from rope.sources.reading import is_inside
from rope.sources.source import ReleaseSource

__all__ = [
    "QUERIES_FOLDER",
    "QUERY_SCHEMA",
    "QueryTable",
    "add_queries",
    "find_queries",
    "queries_fingerprint",
    "query_problems",
    "read_queries",
    "read_query_file",
    "write_queries",
    "write_release_queries",
]

_log: Final = logging.getLogger(__name__)

QUERIES_FOLDER: Final = "queries"
"""The folder of a dataset directory that holds a table for each split."""

_SUFFIXES: Final = (".parquet", ".jsonl")
_SHOWN: Final = 20
"""Faults that an error lists."""

_SAMPLE: Final = pa.struct([("domain", pa.string()), ("sample_id", pa.string())])
QUERY_SCHEMA: Final = pa.schema(
    [
        ("query_id", pa.string()),
        ("text", pa.string()),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("positives", pa.list_(pa.struct([*_SAMPLE, ("grade", pa.int64())]))),
        ("negatives", pa.list_(_SAMPLE)),
        ("excluded", pa.list_(_SAMPLE)),
        ("gallery", pa.string()),
        ("candidates", pa.list_(_SAMPLE)),
        ("group", pa.string()),
    ]
)
"""The columns of a table; only `query_id` and `positives` have to be there."""


@dataclass(frozen=True, slots=True)
class QueryTable:
    """The queries of a split, checked against its samples.

    Attributes:
        queries: by their ids.
        name: of the file, relative to the dataset directory.
        fingerprint: see `queries_fingerprint`.
    """

    queries: tuple[SearchQuery, ...]
    name: str
    fingerprint: str


def find_queries(directory: AnyPath, split: Split) -> "AnyPath | None":
    """The file with the queries of a split; None where there is none.

    Raises:
        DatasetError: there are two.
    """
    files = [directory / QUERIES_FOLDER / f"{split}{suffix}" for suffix in _SUFFIXES]
    found = [file for file in files if file.is_file()]
    if len(found) > 1:
        raise DatasetError(f"{directory}: {found[0].name} and {found[1].name} both hold queries; keep one of them")
    return found[0] if found else None


def read_queries(
    directory: AnyPath, split: Split, labels: Mapping[DomainName, SampleLabels] | None = None
) -> QueryTable:
    """Read the queries of a split, and check them against its samples.

    Args:
        directory: a dataset directory.
        split: of which the queries are.
        labels: of the split; None to read them.

    Raises:
        DatasetError: there are none, or they do not fit the samples; lists what is wrong.
        FileError: the file is damaged, or a row is of another form.
    """
    file = find_queries(directory, split)
    if file is None:
        raise DatasetError(
            f"{directory}: has no queries of the split {split}; expected {QUERIES_FOLDER}/{split}.parquet or .jsonl, "
            "which rope queries writes"
        )
    queries = _checked(read_query_file(file), read_labels(directory, split) if labels is None else labels, str(file))
    return QueryTable(queries, f"{QUERIES_FOLDER}/{file.name}", queries_fingerprint(queries))


def add_queries(directory: Path, split: Split, file: Path) -> QueryTable:
    """Check a table of queries against a dataset and put it in, images and all, replacing an earlier one.

    Args:
        directory: a dataset directory.
        split: of which the queries are.
        file: the table, Parquet or lines of JSON; paths of images are relative to its folder.

    Raises:
        UsageError: the file does not exist.
        DatasetError: the queries do not fit the samples; lists what is wrong.
        FileError: the file is damaged, or a row is of another form.
    """
    queries = _checked(read_query_file(file), read_labels(directory, split), str(file))
    written = write_queries(directory / QUERIES_FOLDER / f"{split}.parquet", queries)
    (directory / QUERIES_FOLDER / f"{split}.jsonl").unlink(missing_ok=True)
    return QueryTable(queries, f"{QUERIES_FOLDER}/{written.name}", queries_fingerprint(queries))


def _checked(
    queries: Sequence[SearchQuery], labels: Mapping[DomainName, SampleLabels], where: str
) -> tuple[SearchQuery, ...]:
    problems = query_problems(queries, labels)
    if problems:
        more = [f"  and {len(problems) - _SHOWN:,} more"] if len(problems) > _SHOWN else []
        listed = "\n".join([*(f"  {problem}" for problem in problems[:_SHOWN]), *more])
        raise DatasetError(f"{where}: the queries do not fit the dataset:\n{listed}")
    return tuple(sorted(queries, key=lambda query: query.query_id))


def query_problems(queries: Sequence[SearchQuery], labels: Mapping[DomainName, SampleLabels]) -> list[str]:
    """Everything that is wrong with queries of a split, a sentence each.

    Args:
        queries: in any order.
        labels: of the samples of that split.
    """
    if not queries:
        return ["the file has no queries; add one, or delete the file"]
    known = {
        domain: dict(zip(rows.sample_ids, rows.galleries or [None] * len(rows.sample_ids), strict=True))
        for domain, rows in labels.items()
    }
    galleries = {gallery for rows in known.values() for gallery in rows.values()}
    problems, seen = [], set[str]()
    for query in queries:
        found = list(query.problems())
        if query.query_id in seen:
            found.append("appears more than once; ids of queries are unique")
        seen.add(query.query_id)
        found += _unreadable(query)
        found += _unknown(query, known)
        if query.gallery is not None and query.gallery not in galleries:
            found.append(f"searches the gallery {query.gallery!r}, which no sample of this split has")
        elif query.gallery is not None:
            outside = [one for one in query.positives if known.get(one.domain, {}).get(one.sample_id) != query.gallery]
            found += [
                f"has the positive {one.domain} {one.sample_id!r}, which is not in its gallery {query.gallery!r}"
                for one in outside[:1]
            ]
        problems += [f"query {query.query_id!r} {text}" for text in found]
    return problems


def _unreadable(query: SearchQuery) -> Iterator[str]:
    for image in query.images:
        try:
            read_header(image)
        except DatasetError as error:
            yield f"has an image that cannot be read: {error}"


def _unknown(query: SearchQuery, known: Mapping[DomainName, Mapping[str, str | None]]) -> Iterator[str]:
    lists: dict[str, Sequence[SampleKey]] = {
        "positives": [positive.key for positive in query.positives],
        "negatives": query.negatives,
        "excluded": query.excluded,
        "candidates": query.candidates,
    }
    for name, keys in lists.items():
        if missing := [key for key in keys if key[1] not in known.get(key[0], ())]:
            domain, sample_id = missing[0]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            what = f"{domain} {sample_id!r}{more}, which this split does not have"
            if domain not in known:
                what = f"a sample of the domain {domain!r}; the dataset has {', '.join(known)}"
            yield f"names among its {name} {what}"


def queries_fingerprint(queries: Iterable[SearchQuery]) -> str:
    """SHA-256, in hex, of what the queries ask and of their answers, whatever the file and the order of its rows.

    Hashed is a line of JSON for each query, in the order of the ids: id, text, the SHA-256 of each image, positives
    with grades, negatives, excluded samples and candidates in order, gallery, group.
    """
    digest = hashlib.sha256()
    for query in sorted(queries, key=lambda query: query.query_id):
        samples = [sorted(keys) for keys in (query.positives, query.negatives, query.excluded, query.candidates)]
        images = [_sha256_of_image(image) for image in query.images]
        told = [query.query_id, query.text, images, *samples, query.gallery, query.group]
        digest.update(json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def _sha256_of_image(image: Frame) -> str:
    if image.data is not None:
        return hashlib.sha256(image.data).hexdigest()
    assert image.path is not None, "a frame has one of the two"
    return sha256_of(Path(image.path))


def write_queries(path: Path, queries: Iterable[SearchQuery]) -> Path:
    """Write a table as Parquet, with the bytes of the images in it; the same queries give the same bytes.

    Returns:
        `path`.
    """
    rows = [_row_of(query) for query in sorted(queries, key=lambda query: query.query_id)]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, QUERY_SCHEMA), temporary, compression="zstd")
    return path


def _row_of(query: SearchQuery) -> dict[str, Any]:
    def listed(keys: Sequence[SampleKey]) -> list[dict[str, str]] | None:
        return [{"domain": domain, "sample_id": sample_id} for domain, sample_id in keys] or None

    images = [
        {"bytes": Path(str(image.path)).read_bytes() if image.data is None else image.data, "path": None}
        for image in query.images
    ]
    return {
        "query_id": query.query_id,
        "text": query.text,
        "images": images or None,
        "positives": [positive._asdict() for positive in query.positives],
        "negatives": listed(query.negatives),
        "excluded": listed(query.excluded),
        "gallery": query.gallery,
        "candidates": listed(query.candidates),
        "group": query.group,
    }


def write_release_queries(release: ReleaseSource, root: Path, directory: Path, manifest: DatasetManifest) -> None:
    """Put the queries of a release into the dataset that was built of it; those that are there already stay.

    The shards are in place; the manifest need not be.

    What the dataset lacks is taken out of a query. A query that has no positive or image left is left out, and how many
    are is logged.

    Raises:
        DatasetError: what is left does not fit the samples.
    """
    for split, queries in release.queries.items():
        if find_queries(directory, split) is not None:
            continue
        labels = read_labels(directory, split, manifest)
        known = {(domain, sample_id) for domain, rows in labels.items() for sample_id in rows.sample_ids}
        given = list(queries(root))
        kept = [one for query in given if (one := _of_known(query, known)) is not None]
        if len(kept) < len(given):
            _log.warning(
                "%s: %s of %s queries of %s are left out: the dataset has no sample that answers them, or their image "
                "is not in %s",
                directory, f"{len(given) - len(kept):,}", f"{len(given):,}", release.folder, root,
            )  # fmt: skip
        if kept:
            checked = _checked(kept, labels, str(release.folder))
            write_queries(directory / QUERIES_FOLDER / f"{split}.parquet", checked)


def _of_known(query: SearchQuery, known: set[SampleKey]) -> SearchQuery | None:
    """A query without the samples that are not known; None where nothing is left to ask or to answer it."""
    positives = tuple(one for one in query.positives if one.key in known)
    if not positives or any(image.path is not None and not Path(image.path).is_file() for image in query.images):
        return None
    negatives, excluded, candidates = (
        tuple(key for key in keys if key in known) for keys in (query.negatives, query.excluded, query.candidates)
    )
    return replace(query, positives=positives, negatives=negatives, excluded=excluded, candidates=candidates)


def read_query_file(path: AnyPath) -> list[SearchQuery]:
    """The queries of one file, in the order of its rows, not yet checked against any samples.

    Raises:
        UsageError: the file does not exist, or it is neither `.parquet` nor `.jsonl`.
        DatasetError: it is not Parquet.
        FileError: a row is of another form; names it.
    """
    if not path.is_file() or path.suffix not in _SUFFIXES:
        what = f"expected Parquet or lines of JSON ({' or '.join(_SUFFIXES)})" if path.is_file() else "no such file"
        raise UsageError(f"{path}: {what}")
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    return [_query_of(row, f"{path}:{number}", path.parent) for number, row in rows]


def _parquet_rows(path: AnyPath) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_shard(path) as file:
        names = file.schema_arrow.names
    if repeated := [name for name in names if names.count(name) > 1]:
        raise FileError(f"{path}: the column {repeated[0]} is there more than once; keep one")
    return enumerate(iter_rows([path]), 1)


def _json_rows(path: AnyPath) -> Iterator[tuple[int, dict[str, Any]]]:
    with reading_file(Path(str(path)), "lines of JSON"), path.open("rb") as file:
        lines = file.read().decode("utf-8-sig").split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, parse_document(line, "JSON", f"{path}:{number}")


def _query_of(row: Mapping[str, Any], where: str, folder: AnyPath) -> SearchQuery:
    if strange := [name for name in row if name not in QUERY_SCHEMA.names]:
        raise FileError(f"{where}: unknown column {strange[0]!r}; a query has {', '.join(QUERY_SCHEMA.names)}")
    query_id = _id(row.get("query_id"), "query_id", where)
    if row.get("candidates") == []:  # most likely a list of which nothing is left, and no wish to search everywhere
        raise FileError(f"{where}: candidates is an empty list; leave it out (null) to search among all samples")
    return SearchQuery(
        query_id=query_id,
        text=_text(row, "text", where),
        images=tuple(_image(one, where, folder) for one in _list(row, "images", where)),
        positives=tuple(_positive(one, where) for one in _list(row, "positives", where)),
        negatives=_keys(row, "negatives", where),
        excluded=_keys(row, "excluded", where),
        gallery=_text(row, "gallery", where),
        candidates=_keys(row, "candidates", where),
        group=_text(row, "group", where),
    )


def _id(value: object, name: str, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise FileError(f"{where}: {name} is {value!r}, expected a text that is not blank")
    return str(value)


def _text(row: Mapping[str, Any], name: str, where: str) -> str | None:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise FileError(f"{where}: {name} is {str(value)[:40]!r}, expected a text or null")
    return value


def _list(row: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = row.get(name)
    if value is not None and not isinstance(value, list):
        raise FileError(f"{where}: {name} is {str(value)[:40]!r}, expected a list")
    return value or []


def _image(value: object, where: str, folder: AnyPath) -> Frame:
    data, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (None, value)
    if isinstance(data, bytes):
        return Frame(data=data)
    if not isinstance(name, str):
        raise FileError(f"{where}: an image is {str(value)[:40]!r}, expected the path of a file, or its bytes")
    if not is_inside(name):
        raise FileError(f"{where}: the image {name}: expected a path that is relative to {folder} and inside it")
    path = folder / name
    if not path.is_file():
        raise FileError(f"{where}: the image {name}: no such file in {folder}")
    return Frame(path=str(path)) if isinstance(path, Path) else Frame(data=path.read_bytes())


def _positive(value: object, where: str) -> Positive:
    grade = value.get("grade") if isinstance(value, dict) else None
    if grade is not None and (isinstance(grade, bool) or not isinstance(grade, int)):
        raise FileError(f"{where}: a grade is {grade!r}, expected a whole number")
    return Positive(*_key(value, where, {"grade"}), 1 if grade is None else grade)


def _keys(row: Mapping[str, Any], name: str, where: str) -> tuple[SampleKey, ...]:
    return tuple(_key(one, where) for one in _list(row, name, where))


def _key(value: object, where: str, more: frozenset[str] | set[str] = frozenset()) -> SampleKey:
    if not isinstance(value, dict) or not {"domain", "sample_id"} <= value.keys() <= {"domain", "sample_id"} | more:
        raise FileError(
            f"{where}: a sample is {str(value)[:60]!r}, expected its domain and sample_id"
            + (" and, if it has one, its grade" if more else "")
        )
    return _id(value["domain"], "domain", where), _id(value["sample_id"], "sample_id", where)
