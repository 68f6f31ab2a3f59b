"""Run an embedder over a split, keeping what is finished so that a stopped run can be continued."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rope.bench.embedder import Embedder
from rope.bench.share import Share
from rope.bench.writer import embedding_schema, embedding_table, open_writer
from rope.console import progress_bar
from rope.dataset.directory import iter_samples
from rope.dataset.manifest import Manifest, read_manifest
from rope.domain import DomainName, Sample, Split, config_of
from rope.errors import DatasetError, EmbeddingError, UsageError
from rope.files import atomic_path

__all__ = ["run_embedder"]

_BATCHES_A_PART: Final = 8
"""What a kill can cost, in batches; each part is one file and one row group of the result."""

_METADATA_KEY: Final = "rope_run"
_KEY_NAME: Final = "key.json"

_Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _RunKey:
    """Everything that decides the bytes of a run's result, as far as it can be known.

    Attributes:
        embedder: its name.
        embedder_fingerprint: its `fingerprint`, or None where it has none.
        dataset: fingerprint of the dataset.
        split: the split embedded.
        batch_size: samples a call of `embed`; a model's numbers may depend on it in the last digits.
    """

    embedder: str
    embedder_fingerprint: str | None
    dataset: str
    split: Split
    batch_size: int

    def to_json(self) -> str:
        """The key as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    def differences(self, other: str) -> str:
        """What a key written by `to_json` has otherwise, in words; empty where it is the same.

        >>> stored = _RunKey("clip", None, "d0", "train", 64).to_json()
        >>> _RunKey("clip", None, "d1", "validation", 64).differences(stored)
        "dataset is 'd0' there and 'd1' now, split is 'train' there and 'validation' now"
        """
        there, now = json.loads(other), asdict(self)
        different = [name for name in now if now[name] != there.get(name)]
        return ", ".join(f"{name} is {there.get(name)!r} there and {now[name]!r} now" for name in different)


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
    data: Path,
    out: Path,
    *,
    split: Split = "validation",
    batch_size: int = 64,
    share: Share | None = None,
    progress: bool = True,
) -> Path:
    """Embed every sample of a split, batch by batch, into one Parquet file.

    Finished parts are kept in the folder `OUT.parts` until the whole is written. So a run that was stopped,
    however abruptly, goes on from there when it is called again, and ends with the same bytes as a run that
    was not. Rows are in the order of the dataset: pages, videos, lives, other domains by name. When `out` is the
    result of the same run already, nothing is embedded.

    A kill costs the part that was open, of 8 batches at most: those samples alone are embedded again.

    Several processes divide the work when each is given its share: they write their parts into the same folder and
    leave them there. When all have ended, a call without a share joins the parts to the bytes that one process would
    have written, and embeds what is missing where one of them was stopped.

    Args:
        embedder: see `rope.bench.embedder.Embedder`.
        data: a dataset directory.
        out: the Parquet file to write, with the columns domain, sample_id and embedding (float32 [dim]).
        split: the split to embed.
        batch_size: samples handed to the embedder at a time.
        share: embed this share alone and join nothing; None for all that is missing.
        progress: whether to draw a bar on stderr.

    Returns:
        `out`, which a share has not written yet.

    Raises:
        UsageError: `out` exists and is not of this run, or `OUT.parts` holds a part of another run.
        DatasetError: the dataset cannot be read, its split is empty, or a sample cannot be decoded.
        EmbeddingError: the embedder returned something else than finite floats [n, dim] with no zero row, or vectors
            of another dimension in another process.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, got {batch_size}")
    manifest = read_manifest(data)
    fingerprint = getattr(embedder, "fingerprint", None)
    key = _RunKey(embedder.name, fingerprint, manifest.fingerprint, split, batch_size)
    folder = out.with_name(f"{out.name}.parts")
    if not _is_finished(out, key):
        counts = _counts(manifest, split, data)
        _claim(folder, key)
        parts = _plan(folder, counts, batch_size)
        own = parts if share is None else _of_share(parts, share)
        n_samples = sum(part.n_samples for part in own)
        with progress_bar(f"embedding with {embedder.name}", n_samples, shown=progress) as advance:
            _embed_missing(embedder, data, key, own, advance)
        if share is not None:
            return out
        _merge(parts, key, folder, out)
    _remove(folder, key)
    return out


def _is_finished(out: Path, key: _RunKey) -> bool:
    """Whether `out` is the result of this run.

    Raises:
        UsageError: it exists and is anything else.
    """
    if not out.exists():
        return False
    try:
        metadata = pq.read_schema(out).metadata or {}
    except (pa.ArrowException, OSError):
        metadata = {}
    there = metadata.get(_METADATA_KEY.encode())
    difference = "it was not written by this command" if there is None else key.differences(there.decode())
    if difference:
        raise UsageError(f"{out} exists already: {difference}; delete it or choose another file")
    return True


def _counts(manifest: Manifest, split: Split, data: Path) -> dict[DomainName, int]:
    of_split = manifest.counts.get(split, {})
    counts = {domain: of_split.get(config_of(domain), 0) for domain in manifest.domains}
    if not any(counts.values()):
        raise DatasetError(f"{data}: the split {split} has no samples; the dataset has {', '.join(manifest.counts)}")
    return counts


def _claim(folder: Path, key: _RunKey) -> None:
    """Make the folder of parts, or check that the one there belongs to this run.

    Raises:
        UsageError: it belongs to another run, or is no folder of parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / _KEY_NAME
    # Looked at before the key is: another process may be starting, and it writes its parts after the key.
    others = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if not stored.exists():
        if others:
            raise UsageError(f"{folder} exists and is not of this command; delete it or choose another output file")
        with atomic_path(stored) as temporary:
            temporary.write_text(key.to_json() + "\n", "utf-8")
    difference = key.differences(stored.read_text("utf-8"))
    if difference:
        raise UsageError(
            f"{folder} holds an unfinished run of another kind: {difference}; finish that run with its own options, "
            "delete the folder, or choose another output file"
        )


def _plan(folder: Path, counts: Mapping[DomainName, int], batch_size: int) -> list[_Part]:
    """Cut every domain into parts of as many batches; the last of a domain may be smaller."""
    step = batch_size * _BATCHES_A_PART
    return [
        _Part(domain, start, min(start + step, counts[domain]), folder / f"{domain}-{start // step:06d}.parquet")
        for domain in counts
        for start in range(0, counts[domain], step)
    ]


def _of_share(parts: Sequence[_Part], share: Share) -> list[_Part]:
    """The parts of one process: of every domain as many as of any other, since a video costs more than a page."""
    domains = dict.fromkeys(part.domain for part in parts)
    return [part for domain in domains for part in share.of([part for part in parts if part.domain == domain])]


def _embed_missing(embedder: Embedder, data: Path, key: _RunKey, parts: Sequence[_Part], advance: _Advance) -> None:
    """Write the parts that are not there yet."""
    finished = [part for part in parts if part.path.exists()]
    missing = [part for part in parts if not part.path.exists()]
    advance(sum(part.n_samples for part in finished))
    dim = _read_schema(finished[0], key).field("embedding").type.list_size if finished else None
    for stretch in _stretches(missing):
        first = stretch[0]
        batches = iter_samples(data, first.domain, key.split, start=first.start, batch_size=key.batch_size)
        for part in stretch:
            dim = _write_part(embedder, part, islice(batches, _BATCHES_A_PART), key, dim, advance)


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


def _read_schema(part: _Part, key: _RunKey) -> pa.Schema:
    """The schema of a finished part.

    Raises:
        UsageError: the part is of another run: two that began at the same moment had both found an empty folder.
    """
    schema = pq.read_schema(part.path)
    if difference := key.differences(schema.metadata[_METADATA_KEY.encode()].decode()):
        raise UsageError(f"{part.path} is of another run: {difference}; delete the folder and run again")
    return schema


def _write_part(
    embedder: Embedder,
    part: _Part,
    batches: Iterable[Sequence[Sample]],
    key: _RunKey,
    dim: int | None,
    advance: _Advance,
) -> int:
    """Embed the batches of one part and write it; returns the dimension."""
    ids: list[str] = []
    blocks: list[npt.NDArray[np.float32]] = []
    for samples in batches:
        blocks.append(_embed(embedder, samples, dim))
        ids += [sample.sample_id for sample in samples]
        dim = blocks[-1].shape[1]
        advance(len(samples))
    if dim is None or len(ids) != part.n_samples:
        raise DatasetError(
            f"{part.domain}: read {len(ids)} samples from number {part.start} on, expected {part.n_samples}; "
            "the dataset is not what its manifest says, so check it with: rope validate"
        )
    schema = embedding_schema(dim, {_METADATA_KEY: key.to_json()})
    with atomic_path(part.path) as temporary, open_writer(temporary, schema) as writer:
        writer.write_table(embedding_table(part.domain, ids, np.concatenate(blocks), schema))
    return dim


def _embed(embedder: Embedder, samples: Sequence[Sample], dim: int | None) -> npt.NDArray[np.float32]:
    """One call of the embedder, checked: float32 [n, dim].

    Raises:
        EmbeddingError: names the embedder, the domain and the sample.
    """
    where = f"{embedder.name}: {samples[0].domain}s from {samples[0].sample_id!r} on"
    result: object = embedder.embed(samples)
    if not isinstance(result, np.ndarray) or not np.issubdtype(result.dtype, np.floating):
        kind = result.dtype if isinstance(result, np.ndarray) else type(result).__name__
        raise EmbeddingError(f"{where}: embed returned {kind}, expected a NumPy array of floats")
    if result.ndim != 2 or len(result) != len(samples) or result.shape[1] == 0:
        raise EmbeddingError(f"{where}: embed returned shape {result.shape}, expected ({len(samples)}, dim)")
    if dim is not None and result.shape[1] != dim:
        raise EmbeddingError(f"{where}: embed returned dimension {result.shape[1]}, expected {dim} as before")
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(result, np.float32)
    for is_bad, what in ((~np.isfinite(vectors).all(axis=1), "NaN or infinity"), (~vectors.any(axis=1), "only zeros")):
        if is_bad.any():
            sample = samples[int(np.argmax(is_bad))]
            raise EmbeddingError(f"{embedder.name}: {sample.domain} {sample.sample_id!r}: the embedding holds {what}")
    return vectors


def _merge(parts: Sequence[_Part], key: _RunKey, folder: Path, out: Path) -> None:
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


def _remove(folder: Path, key: _RunKey) -> None:
    """Remove the parts of this run; the key goes last, since it is what says that they may go."""
    stored = folder / _KEY_NAME
    if not stored.exists() or key.differences(stored.read_text("utf-8")):
        return
    for path in folder.iterdir():
        if path != stored:
            path.unlink()
    stored.unlink()
    folder.rmdir()
