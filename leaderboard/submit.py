"""From embeddings and a card to a folder that can be submitted: checked, rounded, scored as stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from leaderboard.card import card_of, check_modalities
from leaderboard.entry import PARTS
from leaderboard.schema import SCHEMA_VERSION
from leaderboard.vectors import MAX_BYTES, StoredDtype, StoredVectors, as_stored, stored_bytes, write_vectors
from rope.bench.io.embeddings import DomainEmbeddings, cut
from rope.bench.io.provenance import Provenance, load_provenance, note_of
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import write_json
from rope.bench.result import Report, report_on
from rope.bench.score import Score, score
from rope.dataset.directory import SampleLabels, read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName
from rope.errors import EmbeddingError, RopeError, UsageError
from rope.files import AnyPath, sha256_of

__all__ = [
    "DRAWS",
    "ROUNDING_TOLERANCE",
    "Scored",
    "Storage",
    "check_size",
    "largest_change",
    "score_as_stored",
    "submit",
]

DRAWS: Final = Draws(seed=0)
"""The draws of one-shot classification on the board: the defaults of `rope-bench score`."""

ROUNDING_TOLERANCE: Final = 0.001
"""By how much storing may change a metric, a fraction; or by two queries where a pair has fewer than 2,000."""

_ADVICE: Final[Mapping[StoredDtype, str]] = {
    "float16": "Centre them, or train with unit vectors",
    "int8": "Store them as float16; if that is too large, keep fewer dimensions with --dims",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """How the vectors of a submission are kept.

    Attributes:
        dtype: the type of the numbers.
        dims: how many numbers of each vector, from the first; None keeps all.
    """

    dtype: StoredDtype = "float16"
    dims: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of vectors as they are stored, and these."""

    report: Report
    vectors: Mapping[DomainName, StoredVectors]


def submit(
    files: Sequence[Path],
    card: Mapping[str, Any],
    data: AnyPath,
    out: Path,
    *,
    compute: ComputeSettings | None = None,
    with_embeddings: bool = True,
    storage: Storage | None = None,
) -> Path:
    """Write the folder of a submission, `out/<id>/`, and return the path of its entry.

    The score is that of the vectors as stored, so that anyone who has them gets it again, exactly.

    Args:
        files: embeddings, in any format that `rope-bench score` reads.
        card: as `leaderboard.card.read_card` returns it.
        data: the dataset directory; two domains or more, split `validation`.
        out: a folder of results; the model gets its own folder in it.
        compute: how to spend the machine; it changes no number.
        with_embeddings: False leaves the vectors out, and the row is `claimed`.
        storage: how the vectors are kept; whole and as float16 unless said otherwise.

    Raises:
        RopeError: the vectors are too large, which is checked before scoring; or rounding changes a metric by
            more than `ROUNDING_TOLERANCE`.
        UsageError: the dataset has one domain or galleries of its own, a file is of no known format, or the vectors
            have no more dimensions than `storage` wants of them.
        EmbeddingError: the embeddings do not fit the dataset.
    """
    compute, storage, model = compute or ComputeSettings(), storage or Storage(), card_of(card, "the card")
    manifest, labels = read_manifest(data), read_labels(data, "validation")
    _check_dataset(data, labels)
    check_modalities(model, list(labels), "the card")
    given, ordered, provenance = load_provenance(files, manifest, "validation", labels, model.name)
    _check_one_vector_each(given)
    provenance = replace(provenance, training_seed=None if model.run is None else model.run.seed)
    dim = next(iter(given.values())).vectors.shape[1]
    if storage.dims is not None:
        given = {domain: cut(rows, storage.dims, domain) for domain, rows in given.items()}
    if with_embeddings:
        check_size(given, storage.dtype)
    before = score(given, ordered, DRAWS, compute)
    stored = score_as_stored(given, ordered, provenance, compute, storage.dtype)
    change = largest_change(before, stored.report.score, storage.dtype)
    folder, stem = out / model.id, manifest.fingerprint
    names = {part: folder / f"{stem}{suffix}" for part, suffix in PARTS.items()}
    kept = ["score", "ranks", "embeddings"] if with_embeddings else ["score", "ranks"]
    if with_embeddings:
        write_vectors(names["embeddings"], stored.vectors)
    stored.report.save(names["score"], ranks=names["ranks"])
    entry = folder / f"{stem}.json"
    write_json(
        entry,
        {
            "schema_version": SCHEMA_VERSION,
            "status": "recomputed" if with_embeddings else "claimed",
            "card": dict(card),
            "dataset": {
                "name": manifest.name,
                "fingerprint": stem,
                "split": "validation",
                "samples": {domain: len(rows.sample_ids) for domain, rows in labels.items()},
            },
            **{part: _file(names[part]) if part in kept else None for part in ("score", "ranks", "embeddings")},
            "rounding_change": change if with_embeddings else None,
            "cut_from": None if storage.dims is None else dim,
            "source": None,
            "reported": None,
        },
    )
    return entry


def _check_dataset(data: AnyPath, labels: Mapping[DomainName, SampleLabels]) -> None:
    if len(labels) < 2:
        raise UsageError(f"{data}: has only {', '.join(labels)}; the board covers the pairs of different domains")
    if any(rows.galleries is not None for rows in labels.values()):
        raise UsageError(f"{data}: its queries have their own galleries; the board covers searches in whole domains")


def _check_one_vector_each(embeddings: Mapping[DomainName, DomainEmbeddings]) -> None:
    for domain, rows in embeddings.items():
        if rows.offsets is not None or (rows.queries is not None and rows.queries.offsets is not None):
            raise EmbeddingError(f"{domain}s have many vectors each; the board keeps one of each sample in a role")


def check_size(embeddings: Mapping[DomainName, DomainEmbeddings], dtype: StoredDtype) -> None:
    """Refuse vectors that would make a larger file than the board takes, before they are scored.

    Raises:
        RopeError: they do not fit in `MAX_BYTES`; says what would.
    """
    n_bytes = stored_bytes(embeddings, dtype)
    if n_bytes <= MAX_BYTES:
        return
    dim = next(iter(embeddings.values())).vectors.shape[1]
    n_vectors = sum(len(rows.sample_ids) * (1 if rows.queries is None else 2) for rows in embeddings.values())
    of_a_dim = n_vectors * np.dtype(dtype).itemsize
    fits = dim - -(-(n_bytes - MAX_BYTES) // of_a_dim)
    as_int8 = dtype != "int8" and stored_bytes(embeddings, "int8") <= MAX_BYTES
    raise RopeError(
        f"the vectors would take {n_bytes:,} bytes in {dtype}, and {MAX_BYTES:,} are allowed; "
        + ("--dtype int8 makes them fit, " if as_int8 else "")
        + f"--dims {fits} keeps the first {fits} of {dim} dimensions, --without-embeddings makes a claimed row"
    )


def score_as_stored(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    provenance: Provenance,
    compute: ComputeSettings,
    dtype: StoredDtype,
) -> Scored:
    """Round aligned vectors to the type that they are stored in, and score what everybody reads from the file."""
    vectors = {domain: as_stored(rows, dtype) for domain, rows in embeddings.items()}
    decoded = {domain: rows.decoded() for domain, rows in vectors.items()}
    notes = {domain: note_of(rows) for domain, rows in decoded.items()}
    return Scored(report_on(decoded, labels, replace(provenance, embeddings=notes), DRAWS, compute), vectors)


def largest_change(before: Score, after: Score, dtype: StoredDtype) -> float:
    """The largest change of R@k, MRR, mAP or one-shot accuracy in any pair, a fraction.

    Raises:
        RopeError: a change is beyond the tolerance; names the pair and the metric.
    """
    largest = 0.0
    for (name, n_queries, first), (_, _, second) in zip(_numbers(before), _numbers(after), strict=True):
        change, tolerance = abs(first - second), max(ROUNDING_TOLERANCE, 2 / n_queries)
        if change > tolerance + 1e-12:
            raise RopeError(
                f"{dtype} changes {name} from {first:.6f} to {second:.6f}, by more than {tolerance:.6f}; the vectors "
                f"differ in digits that {dtype} does not have. {_ADVICE[dtype]}"
            )
        largest = max(largest, change)
    return largest


def _numbers(scored: Score) -> Iterator[tuple[str, int, float]]:
    """Name, number of queries and value of everything that the tolerance is about."""
    for name, pair in scored.pairs.items():
        if pair.micro is not None:
            for k, value in pair.micro.hit_rate.items():
                yield f"R@{k} of {name}", pair.n_queries, value
            yield f"MRR of {name}", pair.n_queries, pair.micro.mrr
            yield f"mAP of {name}", pair.n_queries, pair.micro.mean_average_precision
    for name, one_shot in scored.one_shot.items():
        if one_shot.expected is not None:
            yield f"one-shot accuracy of {name}", one_shot.n_queries, one_shot.expected


def _file(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": sha256_of(path)}
