"""Benchmarks of search queries: a pool of candidates without product labels, and queries that name their answers.

A candidate with an image is a page, one of text alone is a sample of the domain `caption`. Each is a product of its
own. All is of the split `validation`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from rope.domain import DomainName, Split, in_order
from rope.files import sha256_of
from rope.sources.faults import ReleaseFault
from rope.sources.reading import is_inside
from rope.sources.source import Queries, ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging

__all__ = ["Candidate", "ReadCandidates", "candidate_source", "domain_of_candidate"]

_SPLIT: Final[Split] = "validation"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate.

    Attributes:
        file: where it stands, relative to the folder.
        line: in that file, from 1.
        candidate_id: unique in the release.
        text: None where there is none.
        image: name of its image, relative to the image root; None for one of text alone.
    """

    file: str
    line: int
    candidate_id: str
    text: str | None
    image: str | None


ReadCandidates = Callable[[], Iterator[Candidate | ReleaseFault]]
"""Reads all candidates of a release, file by file."""


def domain_of_candidate(image: str | None) -> DomainName:
    """The domain of a candidate.

    >>> domain_of_candidate("a.jpg"), domain_of_candidate(None)
    ('page', 'caption')
    """
    return "caption" if image is None else "page"


def candidate_source(
    kind: str, folder: Path, files: tuple[str, ...], image_root: Path, read: ReadCandidates, queries: Queries
) -> ReleaseSource:
    """A benchmark as a release that a build takes.

    Args:
        kind: name of the format.
        folder: of the release.
        files: of candidates and queries, relative to it.
        image_root: what names of images are relative to.
        read: its candidates.
        queries: its queries.
    """
    domains = in_order({domain_of_candidate(one.image) for one in read() if isinstance(one, Candidate)}) or ("page",)
    return ReleaseSource(
        kind=kind,
        folder=folder,
        files=files,
        splits=(_SPLIT,),
        domains=domains,
        image_root=image_root,
        stage=partial(_stage, folder=folder, files=files, domains=domains, read=read),
        file_of=lambda _split, _domain: files[0],
        queries={_SPLIT: queries},
    )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    files: tuple[str, ...],
    domains: tuple[DomainName, ...],
    read: ReadCandidates,
) -> dict[str, str]:
    """See `rope.sources.source.Stage`."""
    staging = Staging(connection)
    n_rows = dict.fromkeys(files, 0)
    for one in read():
        n_rows[one.file] += 1
        for row in _rows(one):
            staging.add(row)
    staging.finish((_SPLIT,), domains, {file: n for file, n in n_rows.items() if n})
    for name in files:
        advance((folder / name).stat().st_size)
    return {name: sha256_of(folder / name) for name in files}


def _rows(one: Candidate | ReleaseFault) -> Iterator[SampleRow | FrameRow | ReleaseFault]:
    if isinstance(one, ReleaseFault):
        yield one
    elif one.image is not None and not is_inside(one.image):
        yield ReleaseFault(one.file, one.line, "bad_image_name", one.image)
    else:
        domain = domain_of_candidate(one.image)
        yield SampleRow(one.file, one.line, _SPLIT, domain, one.candidate_id, one.candidate_id, one.text)
        if one.image is not None:
            yield FrameRow(one.file, one.line, _SPLIT, domain, one.candidate_id, 0, one.image)
