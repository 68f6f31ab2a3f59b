"""What a build needs to know about a release, whatever its format."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from rope.domain import DomainName, Split
from rope.query import SearchQuery

__all__ = ["Queries", "ReleaseSource", "Stage"]

Queries = Callable[[Path], Iterable[SearchQuery]]
"""Reads the search queries of a split, given the folder that names of images are relative to."""

Stage = Callable[[duckdb.DuckDBPyConnection, Callable[[int], None]], dict[str, str]]
"""Reads a release into an empty database, and calls its second argument with the number of bytes just read.

Returns the SHA-256 of each file by name. Afterwards the database holds, for each split of the release and each of
`rope.domain.with_published` of its domains, two tables in canonical order: `samples_SPLIT_DOMAIN` (sample_id,
product_id, text, category, n_frames, line and, where the format may have them, file, video, audio and gallery) and
`frames_SPLIT_DOMAIN` (sample_id, time, image). And the tables `faults` (file, line, kind, subject) and `files` (file,
n_rows, n_bad: those that cannot be read, is_used: whether any row has to do with another file).
"""


@dataclass(frozen=True, slots=True)
class ReleaseSource:
    """A release that was found, not read yet.

    Attributes:
        kind: name of the format, as a manifest keeps it.
        folder: where the text files are.
        files: their names, relative to `folder`.
        splits: the splits that it has.
        domains: the domains that it has; a product that lacks one of these is reported.
        image_root: what names of images and videos are relative to, unless the caller says otherwise.
        stage: reads it.
        file_of: the text file under which faults of a split and domain are reported that belong to no line.
        listings: folder -> SHA-256 of the names in it, where the names decide what a sample consists of.
        encoding: of text files without a byte order mark; None for UTF-8.
        name: of the dataset, unless the caller says otherwise; None for the name of the folder.
        queries: split -> its search queries, where a release has some.
        shown_as: see `rope.dataset.reading.Images`.
    """

    kind: str
    folder: Path
    files: tuple[str, ...]
    splits: tuple[Split, ...]
    domains: tuple[DomainName, ...]
    image_root: Path
    stage: Stage
    file_of: Callable[[Split, DomainName], str]
    listings: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    name: str | None = None
    queries: Mapping[Split, Queries] = field(default_factory=dict)
    shown_as: Callable[[str], str] | None = None
