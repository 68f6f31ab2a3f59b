"""Embed the search queries of a dataset with an embedder, in the role of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rope.bench.io.tables import RUN_KEY, Piece, joined_rows
from rope.bench.io.writer import embedding_schema, open_writer, table_of
from rope.bench.running.checks import check_function, embed_checked
from rope.bench.running.embedder import Embedder, EmbedderOrigin, has_roles
from rope.bench.running.key import RunKey, run_key
from rope.bench.running.run import stored_key
from rope.console import progress_bar
from rope.dataset.manifest import read_manifest
from rope.dataset.queries import QueryTable, read_queries
from rope.domain import Sample, Split
from rope.errors import EmbeddingError, UsageError
from rope.files import AnyPath, atomic_path
from rope.query import QUERY_DOMAIN, as_sample

__all__ = ["embed_queries"]


@dataclass(frozen=True, slots=True)
class _AsQueries:
    """An embedder that is asked in the role of queries alone, where it knows roles."""

    embedder: Embedder
    abstains: bool

    @property
    def name(self) -> str:
        """Of the embedder."""
        return self.embedder.name

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.floating[Any]] | list[npt.NDArray[np.floating[Any]]]:
        """The vectors of some queries."""
        if not has_roles(self.embedder):
            return self.embedder.embed(samples)
        return self.embedder.embed(samples, role="query")  # type: ignore[call-arg]


def embed_queries(
    embedder: Embedder,
    data: AnyPath,
    out: Path,
    *,
    split: Split = "validation",
    batch_size: int = 64,
    origin: EmbedderOrigin | None = None,
    overwrite: bool = False,
    check: bool = True,
    progress: bool = True,
) -> Path:
    """Embed every search query of a split into one Parquet file, with `query` as its domain.

    An embedder receives a query as a sample of the domain `query`, with its text, and with its images as frames. If
    `embed` takes a role, it is `query`. Where `out` holds the vectors of the same model and queries already, nothing is
    embedded; a run that was stopped starts over.

    Args:
        embedder: see `rope.bench.running.embedder.Embedder`.
        data: a dataset directory.
        out: the Parquet file to write.
        split: whose queries.
        batch_size: queries handed to the embedder at a time.
        origin: where the embedder was found by name, as `find_embedder` tells.
        overwrite: embed them even if they are there, and replace the vectors of another run.
        check: whether to embed a few queries again.
        progress: draw a bar on stderr.

    Returns:
        `out`.

    Raises:
        UsageError: `out` exists and is not of this run; says what differs.
        DatasetError: the dataset has no such queries, or they do not fit it.
        EmbeddingError: what the embedder returned cannot be used, see `rope.bench.running.run.run_embedder`.
    """
    table = read_queries(data, split)
    key = _key(embedder, data, table, split, batch_size, origin or EmbedderOrigin())
    if out.exists():
        there = stored_key(out)
        if there is None:
            raise UsageError(f"{out} was not written by this command, so it is left alone; choose another file")
        difference = key.why_not_resumed(there)
        if not difference and not overwrite:
            return out
        if difference and not overwrite:
            raise UsageError(f"{out} exists already: {difference}; start over with --overwrite, or choose another file")
    asked, samples = (
        _AsQueries(embedder, getattr(embedder, "abstains", False)),
        [as_sample(one) for one in table.queries],
    )
    pieces: list[Piece] = []
    is_many, dim = False, None
    with progress_bar(f"embedding queries with {embedder.name}", len(samples), shown=progress) as advance:
        for start in range(0, len(samples), batch_size):
            some = samples[start : start + batch_size]
            batch = embed_checked(asked, some, dim)
            if check and start == 0:
                check_function(asked, some, batch.rows)
            is_many, dim = batch.is_many, batch.rows.vectors.shape[1] or dim
            pieces.append(Piece(QUERY_DOMAIN, out, batch.rows))
            advance(len(some))
    if dim is None:
        raise EmbeddingError(f"{embedder.name}: no vector for any of {len(samples)} queries")
    schema = embedding_schema(dim, {RUN_KEY: key.to_json()}, is_many=is_many)
    with atomic_path(out) as temporary, open_writer(temporary, schema) as writer:
        writer.write_table(table_of(QUERY_DOMAIN, joined_rows(pieces), schema))
    return out


def _key(
    embedder: Embedder, data: AnyPath, table: QueryTable, split: Split, batch_size: int, origin: EmbedderOrigin
) -> RunKey:
    """As of a run over samples, with the queries instead of the dataset."""
    own = run_key(embedder, read_manifest(data), split, batch_size, origin)
    return replace(own, dataset=table.fingerprint, dataset_files=table.fingerprint)
