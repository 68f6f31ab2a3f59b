"""Run an embedder over a split, keeping what is finished so that a stopped run can be continued."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.tables import RUN_KEY, Piece, joined_rows, rows_of
from rope.bench.io.writer import dim_of, embedding_schema, open_writer, table_of
from rope.bench.running.checks import check_function, check_kept, embed_checked
from rope.bench.running.embedder import Embedder, EmbedderOrigin
from rope.bench.running.key import RunKey, run_key
from rope.bench.running.share import RunShare
from rope.bench.running.summary import RunSummary
from rope.console import progress_bar
from rope.dataset.directory import iter_samples
from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.domain import DomainName, Sample, Split, config_of
from rope.errors import DatasetError, EmbeddingError, UsageError
from rope.files import AnyPath, atomic_path, parts_folder
from rope.workdir import WorkFolder

__all__ = ["discard", "run_embedder", "samples_done", "stored_key"]

_BATCHES_A_PART: Final = 8
"""What a kill can cost, in batches; each part is one file and one row group of the result."""

_KEY_NAME: Final = "key.json"

_Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Part:
    """The samples `start` to `stop` of a domain, in the order of the dataset, and the file for their vectors."""

    domain: DomainName
    start: int
    stop: int
    path: Path

    @property
    def n_samples(self) -> int:
        return self.stop - self.start


def run_embedder(
    embedder: Embedder,
    data: AnyPath,
    out: Path,
    *,
    split: Split = "validation",
    batch_size: int = 64,
    share: RunShare | None = None,
    progress: bool = True,
    overwrite: bool = False,
    check: bool = True,
    origin: EmbedderOrigin | None = None,
    report: Callable[[RunSummary], None] = lambda _: None,
) -> Path:
    """Embed every sample of a split, batch by batch, into one Parquet file.

    Finished parts are kept in the folder `OUT.parts` until the whole is written. So a run that was stopped,
    however abruptly, goes on from there when it is called again, and ends with the same bytes as a run that
    was not. Rows are in the order of the dataset: pages, videos, lives, other domains by name. When `out` is the
    result of the same run already, nothing is embedded.

    A kill costs the part that was open, of 8 batches at most: only those samples are embedded again.

    Vectors are kept only for the same model, dataset, split and batch size. A model is known by its `fingerprint`, or
    else by the source of its class and of what that imports; see `rope.bench.running.key`. Of each domain a few samples
    are embedded again in another batch and compared, with new vectors and with those kept; see
    `rope.bench.running.checks`.

    Several processes divide the work when each is given its share: they write their parts into the same folder and
    leave them there. When all have ended, a call without a share joins the parts to the bytes that one process would
    have written, and embeds what is missing where one of them was stopped.

    Args:
        embedder: see `rope.bench.running.embedder.Embedder`.
        data: a dataset directory.
        out: the Parquet file to write, with the columns domain, sample_id and embedding (float32 [dim]).
        split: the split to embed.
        batch_size: samples handed to the embedder at a time.
        share: embed only this share and join nothing; None for all that is missing.
        progress: whether to draw a bar on stderr.
        overwrite: delete what an earlier run left of `out` and its parts first.
        check: whether to embed a few samples again.
        origin: where the embedder was found by name, as `find_embedder` tells.
        report: told what was done, at the end.

    Returns:
        `out`, which a share has not written yet.

    Raises:
        UsageError: `out` exists and is not of this run, or `OUT.parts` holds a part of another run; says what differs.
        DatasetError: the dataset cannot be read, its split is empty, or a sample cannot be decoded.
        EmbeddingError: the embedder returned something else than finite floats [n, dim] with no zero row, vectors
            of another dimension in another process, or other vectors for the same samples in another batch.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, got {batch_size}")
    if overwrite and share is not None:
        raise UsageError(
            f"a share cannot restart the whole run: delete {out} and {out}.parts, then start the shares without "
            "--overwrite"
        )
    manifest = read_manifest(data)
    key = run_key(embedder, manifest, split, batch_size, origin or EmbedderOrigin())
    folder = parts_folder(out)
    counts = _counts(manifest, split, data)
    parts = _plan(folder, counts, batch_size)
    run = _Run(embedder, data, key, check)
    work = _work(folder, key)
    if overwrite:
        _discard(out, work)
    if _is_finished(out, key):
        run.check_kept(_first_rows_of(parts, out))
        run.n_kept = sum(counts.values())
    else:
        with work.claimed(is_shared=share is not None):
            own = parts if share is None else _of_share(parts, share)
            n_samples = sum(part.n_samples for part in own)
            with progress_bar(f"embedding with {embedder.name}", n_samples, shown=progress) as advance:
                run.embed_missing(own, advance)
            if share is None:
                _merge(parts, key, folder, out)
    report(run.summary())
    if out.exists():
        _remove(work, key)
    return out


def _is_finished(out: Path, key: RunKey) -> bool:
    """Whether `out` is the result of this run.

    Raises:
        UsageError: it exists and is anything else.
    """
    if not out.exists():
        return False
    there = stored_key(out)
    difference = "it was not written by this command" if there is None else key.why_not_resumed(there)
    if difference:
        what = "delete it" if there is None else "start over with --overwrite"
        raise UsageError(f"{out} exists already: {difference}; {what}, or choose another file")
    return True


def stored_key(path: Path) -> str | None:
    """The key in a file of vectors; None where there is none."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    found: bytes | None = metadata.get(RUN_KEY.encode())
    return None if found is None else found.decode()


def samples_done(data: AnyPath, out: Path, split: Split, batch_size: int) -> Callable[[], int]:
    """A function that counts the samples whose vectors are there, by the parts that are finished.

    Args:
        data: a dataset directory.
        out: the file of the run.
        split: the split that is embedded.
        batch_size: of the run.
    """
    parts = _plan(parts_folder(out), _counts(read_manifest(data), split, data), batch_size)
    return lambda: sum(part.n_samples for part in parts if part.path.exists())


def discard(
    embedder: Embedder, data: AnyPath, out: Path, split: Split, batch_size: int, origin: EmbedderOrigin
) -> None:
    """Remove what an earlier run left of `out` and its parts, whatever its model, and nothing else.

    The arguments are those of `run_embedder`.

    Raises:
        UsageError: one of them is not of this command.
    """
    key = run_key(embedder, read_manifest(data), split, batch_size, origin)
    _discard(out, _work(parts_folder(out), key))


def _discard(out: Path, work: WorkFolder) -> None:
    """Remove what an earlier run left, regardless of its model, and nothing else.

    Raises:
        UsageError: `out` or the folder was not written by this command.
    """
    if out.exists() and stored_key(out) is None:
        raise UsageError(f"{out} was not written by this command, so it is not overwritten; choose another file")
    if work.path.exists():
        work.is_begun(overwrite=True)
        _empty(work)
    out.unlink(missing_ok=True)


def _counts(manifest: DatasetManifest, split: Split, data: AnyPath) -> dict[DomainName, int]:
    of_split = manifest.counts.get(split, {})
    counts = {domain: of_split.get(config_of(domain), 0) for domain in manifest.domains}
    if not any(counts.values()):
        raise DatasetError(f"{data}: the split {split} has no samples; the dataset has {', '.join(manifest.counts)}")
    return counts


def _work(folder: Path, key: RunKey) -> WorkFolder:
    """The folder of parts; processes of one run may begin in it at the same moment."""

    def written() -> list[Path]:
        return [path for path in folder.iterdir() if path.suffix in (".parquet", ".part")]

    text = key.to_json() + "\n"
    return WorkFolder(folder, _KEY_NAME, text, "an unfinished run", key.why_not_resumed, written=written)


def _plan(folder: Path, counts: Mapping[DomainName, int], batch_size: int) -> list[_Part]:
    """Cut every domain into parts of as many batches; the last of a domain may be smaller."""
    step = batch_size * _BATCHES_A_PART
    return [
        _Part(domain, start, min(start + step, counts[domain]), folder / f"{domain}-{start // step:06d}.parquet")
        for domain in counts
        for start in range(0, counts[domain], step)
    ]


def _of_share(parts: Sequence[_Part], share: RunShare) -> list[_Part]:
    """The parts of one process: of every domain as many as of any other, since a video costs more than a page."""
    domains = dict.fromkeys(part.domain for part in parts)
    return [part for domain in domains for part in share.of([part for part in parts if part.domain == domain])]


@dataclass(slots=True)
class _Run:
    """A run at work: what it runs, and what it has done; `is_many` once the embedder has returned something."""

    embedder: Embedder
    data: AnyPath
    key: RunKey
    is_checked: bool
    n_kept: int = 0
    n_embedded: int = 0
    differences: list[float] = field(default_factory=list)
    checked: set[DomainName] = field(default_factory=set)
    is_many: bool | None = None

    def summary(self) -> RunSummary:
        """A summary of the run so far."""
        difference = max(self.differences, default=None)
        return RunSummary(self.n_kept, self.n_embedded, difference, tuple(self.key.source), self.key.unseen)

    def embed_missing(self, parts: Sequence[_Part], advance: _Advance) -> None:
        """Write the parts that are not there yet."""
        finished = [part for part in parts if part.path.exists()]
        missing = [part for part in parts if not part.path.exists()]
        self.n_kept = sum(part.n_samples for part in finished)
        advance(self.n_kept)
        dim = dim_of(_read_schema(finished[0], self.key)) if finished else None
        self.check_kept(_first_rows(finished))
        for stretch in _stretches(missing):
            batches = self._batches(stretch[0])
            for part in stretch:
                dim = self._write_part(part, islice(batches, _BATCHES_A_PART), dim, advance)

    def check_kept(self, kept: Iterable[tuple[_Part, Path, int]]) -> None:
        """Compare kept vectors, the first of each domain, with those that the embedder gives now.

        Args:
            kept: parts, and the file and row group that hold the vectors of each.
        """
        for part, path, row_group in kept if self.is_checked else ():
            samples = next(self._batches(part), [])
            with pq.ParquetFile(path) as file:
                rows = file.read_row_group(row_group).slice(0, len(samples))
            if not samples or rows["sample_id"].to_pylist() != [sample.sample_id for sample in samples]:
                raise UsageError(f"{path}: its rows are not the samples of {self.data}; start over with --overwrite")
            pieces = rows_of(rows.schema, rows.to_batches(), [part.domain], path, any_number=True)
            self.differences.append(check_kept(self.embedder, samples, joined_rows([*pieces])))

    def _batches(self, part: _Part) -> Iterator[list[Sample]]:
        """Batches from the start of a part to the end of its domain."""
        return iter_samples(self.data, part.domain, self.key.split, start=part.start, batch_size=self.key.batch_size)

    def _write_part(self, part: _Part, batches: Iterable[Sequence[Sample]], dim: int | None, advance: _Advance) -> int:
        """Embed the batches of one part and write it; returns the dimension."""
        pieces: list[Piece] = []
        n_samples = 0
        for samples in batches:
            batch = embed_checked(self.embedder, samples, dim)
            rows = batch.rows
            if self.is_many not in (None, batch.is_many):
                raise EmbeddingError(
                    f"{self.embedder.name}: embed returned an array in one batch and a list in another"
                )
            self.is_many = batch.is_many
            pieces.append(Piece(part.domain, part.path, rows))
            n_samples += len(samples)
            dim = rows.vectors.shape[1] or dim
            if self.is_checked and part.domain not in self.checked:
                self.checked.add(part.domain)
                self.differences.append(check_function(self.embedder, samples, rows))
            advance(len(samples))
        if not pieces or n_samples != part.n_samples:
            raise DatasetError(
                f"{part.domain}: read {n_samples} samples from number {part.start} on, expected {part.n_samples}; "
                "the dataset is not what its manifest says, so check it with: rope validate"
            )
        if dim is None:
            raise EmbeddingError(
                f"{self.embedder.name}: no vector for any of {n_samples} {part.domain}s, so that their dimension is "
                "not known"
            )
        self._write(part, joined_rows(pieces), dim)
        self.n_embedded += n_samples
        return dim

    def _write(self, part: _Part, rows: DomainEmbeddings, dim: int) -> None:
        has_queries = rows.queries is not None
        metadata = {RUN_KEY: self.key.to_json()}
        schema = embedding_schema(dim, metadata, is_many=bool(self.is_many), has_queries=has_queries)
        with atomic_path(part.path) as temporary, open_writer(temporary, schema) as writer:
            writer.write_table(table_of(part.domain, rows, schema))


def _first_rows(parts: Iterable[_Part]) -> list[tuple[_Part, Path, int]]:
    """The first finished part of each domain, and where its vectors are."""
    first = {part.domain: part for part in reversed([*parts])}
    return [(part, part.path, 0) for part in first.values()]


def _first_rows_of(parts: Sequence[_Part], out: Path) -> list[tuple[_Part, Path, int]]:
    """The first part of each domain, and where its vectors are in the result, which has a row group a part."""
    return [(part, out, number) for number, part in enumerate(parts) if part.start == 0]


def _stretches(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Parts in order, those that follow on each other together, so that the dataset is sought through once for each."""
    stretch: list[_Part] = []
    for part in parts:
        if stretch and (part.domain, part.start) != (stretch[-1].domain, stretch[-1].stop):
            yield stretch
            stretch = []
        stretch.append(part)
    if stretch:
        yield stretch


def _read_schema(part: _Part, key: RunKey) -> pa.Schema:
    """The schema of a finished part.

    Raises:
        UsageError: the part belongs to another run: two that began at the same moment had both found an empty folder.
    """
    schema = pq.read_schema(part.path)
    if difference := key.differences(schema.metadata[RUN_KEY.encode()].decode()):
        raise UsageError(f"{part.path} belongs to another run: {difference}; delete the folder and run again")
    return schema


def _merge(parts: Sequence[_Part], key: RunKey, folder: Path, out: Path) -> None:
    """Write `out` from its parts, a row group each. It is made among them, so that nothing is left if killed."""
    merged = folder / "merged.parquet"
    schema = _read_schema(parts[0], key)
    with atomic_path(merged) as temporary, open_writer(temporary, schema) as writer:
        for part in parts:
            if (found := _read_schema(part, key)) != schema:
                what, expected = found.field("embedding").type, schema.field("embedding").type
                raise EmbeddingError(f"{part.path} holds {what}, expected {expected} as in {parts[0].path.name}")
            with pq.ParquetFile(part.path) as file:
                writer.write_table(file.read())
    merged.replace(out)


def _remove(work: WorkFolder, key: RunKey) -> None:
    """Remove the parts of this run, if there are any."""
    stored = work.path / _KEY_NAME
    if stored.exists() and not key.differences(stored.read_text("utf-8")):
        _empty(work)


def _empty(work: WorkFolder) -> None:
    """Remove the parts, and their folder unless somebody has put something else in it."""
    work.discard()
    if not any(work.path.iterdir()):
        work.path.rmdir()
