"""From embeddings and a card to a folder that can be submitted: checked, stored as float16, scored as stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from leaderboard.card import card_of, check_modalities
from leaderboard.entry import PARTS
from leaderboard.schema import SCHEMA_VERSION
from leaderboard.vectors import MAX_BYTES, as_float16, write_float16
from rope.bench.embeddings import DomainEmbeddings, embeddings_sha256
from rope.bench.engine import Effort
from rope.bench.intervals import intervals_of
from rope.bench.one_shot import Draws
from rope.bench.ranks import ranks_of
from rope.bench.report import as_json, write_json, write_ranks
from rope.bench.score import Score, score
from rope.bench.subject import EmbeddingsNote, Subject, load_subject
from rope.dataset.directory import Labels, read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName
from rope.errors import RopeError, UsageError
from rope.files import sha256_of

__all__ = ["DRAWS", "FLOAT16_TOLERANCE", "Scored", "largest_change", "score_as_stored", "submit"]

DRAWS: Final = Draws(seed=0)
"""The draws of one-shot classification on the board: the defaults of `rope-bench score`."""

FLOAT16_TOLERANCE: Final = 0.001
"""By how much float16 may change a metric, a fraction; or by two queries where a pair has fewer than 2,000."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A score of vectors as they are stored, and what it is of."""

    subject: Subject
    score: Score
    embeddings: Mapping[DomainName, DomainEmbeddings]


def submit(
    files: Sequence[Path],
    card: Mapping[str, Any],
    data: Path,
    out: Path,
    *,
    effort: Effort | None = None,
    with_embeddings: bool = True,
) -> Path:
    """Write the folder of a submission, `out/<id>/`, and return the path of its entry.

    The score is that of the vectors as stored, so that anyone who has them gets it again, exactly.

    Args:
        files: embeddings, in any format that `rope-bench score` reads.
        card: as `leaderboard.card.read_card` returns it.
        data: the dataset directory; two domains or more, split `validation`.
        out: a folder of results; the model gets a folder of its own in it.
        effort: how to spend the machine; it changes no number.
        with_embeddings: False leaves the vectors out, and the row is `claimed`.

    Raises:
        RopeError: float16 changes a metric by more than `FLOAT16_TOLERANCE`, or the vectors are too large.
        UsageError: the dataset has one domain or galleries of its own, or a file is of no known format.
        EmbeddingError: the embeddings do not fit the dataset.
    """
    effort, model = effort or Effort(), card_of(card, "the card")
    manifest, labels = read_manifest(data), read_labels(data, "validation")
    if len(labels) < 2:
        raise UsageError(f"{data}: has only {', '.join(labels)}; the board is of the pairs of different domains")
    if any(rows.galleries is not None for rows in labels.values()):
        raise UsageError(f"{data}: its queries have galleries of their own; the board is of searches in whole domains")
    check_modalities(model, list(labels), "the card")
    given, ordered, subject = load_subject(files, manifest, "validation", labels, model.name)
    before = score(given, ordered, DRAWS, effort)
    stored = score_as_stored(given, ordered, subject, effort)
    change = largest_change(before, stored.score)
    folder, stem = out / model.id, manifest.fingerprint
    names = {part: folder / f"{stem}{suffix}" for part, suffix in PARTS.items()}
    kept = list(names) if with_embeddings else ["score", "ranks"]
    if with_embeddings:
        _write_vectors(names["embeddings"], stored.embeddings)
    write_ranks(names["ranks"], stored.score)
    intervals = intervals_of(ranks_of(stored.score, stored.subject))
    write_json(names["score"], as_json(stored.score, stored.subject, intervals, names["ranks"]))
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
            **{part: _file(names[part]) if part in kept else None for part in PARTS},
            "float16_change": change if with_embeddings else None,
            "source": None,
            "reported": None,
        },
    )
    return entry


def score_as_stored(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, Labels],
    subject: Subject,
    effort: Effort,
) -> Scored:
    """Round aligned vectors to float16 and score them."""
    halves = {domain: as_float16(rows) for domain, rows in embeddings.items()}
    notes = {domain: _note(rows) for domain, rows in halves.items()}
    return Scored(replace(subject, embeddings=notes), score(halves, labels, DRAWS, effort), halves)


def largest_change(before: Score, after: Score) -> float:
    """The largest change of R@k, MRR, mAP or one-shot accuracy in any pair, a fraction.

    Raises:
        RopeError: a change is beyond the tolerance; names the pair and the metric.
    """
    largest = 0.0
    for (name, n_queries, first), (_, _, second) in zip(_numbers(before), _numbers(after), strict=True):
        change, tolerance = abs(first - second), max(FLOAT16_TOLERANCE, 2 / n_queries)
        if change > tolerance + 1e-12:
            raise RopeError(
                f"float16 changes {name} from {first:.6f} to {second:.6f}, by more than {tolerance:.6f}; the vectors "
                "differ in digits that float16 does not have. Centre them, or train with unit vectors"
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
        yield f"one-shot accuracy of {name}", one_shot.n_queries, one_shot.expected


def _write_vectors(path: Path, embeddings: Mapping[DomainName, DomainEmbeddings]) -> None:
    write_float16(path, embeddings)
    if path.stat().st_size > MAX_BYTES:
        n_bytes = path.stat().st_size
        path.unlink()
        raise RopeError(
            f"{path}: the vectors take {n_bytes:,} bytes in float16, and {MAX_BYTES:,} are allowed; submit fewer "
            "dimensions (rope-bench doctor tells what they cost), or --without-embeddings"
        )


def _note(rows: DomainEmbeddings) -> EmbeddingsNote:
    return EmbeddingsNote(
        n=len(rows.sample_ids),
        dim=rows.vectors.shape[1],
        stored_dtype=rows.stored_dtype,
        n_duplicates_dropped=0,
        sha256=embeddings_sha256(rows),
    )


def _file(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": sha256_of(path)}
