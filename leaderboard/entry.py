"""Rows of the board, as they lie on disk.

results/<id of the model>/<fingerprint of the dataset>.json                 the entry
                          <fingerprint>.score.json                         what rope-bench score --json wrote
                          <fingerprint>.score.ranks.parquet                the rank of every query
                          <fingerprint>.embeddings.parquet                 the vectors, float16 or int8
                          <fingerprint>.candidates.parquet                 what a re-ranker scored, of another row
results/<id of the model>/reported.json                                    figures that a publication states
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from leaderboard.card import Card, card_of, check_modalities
from leaderboard.schema import check, migrate, read_json
from leaderboard.text import check_texts
from rope.bench.stats.compare import MEAN
from rope.domain import DomainName, cross_domain_pairs, in_order
from rope.errors import RopeError, UsageError
from rope.files import sha256_of

__all__ = [
    "PARTS",
    "REPORTED",
    "REPORTED_CAVEAT",
    "RERANKED_CAVEAT",
    "LeaderboardEntry",
    "Status",
    "entry_paths",
    "read_entry",
]

Status = Literal["recomputed", "claimed", "reranked", "reported"]

REPORTED: Final = "reported.json"
"""Name of an entry whose dataset is known by its name and size, not by a fingerprint."""

REPORTED_CAVEAT: Final = "queries and galleries unpublished; may not be comparable"
"""What is said beside every row of figures from a publication, wherever it is shown."""

RERANKED_CAVEAT: Final = "a re-ranker on the candidates of another row; not ranked among embeddings"
"""What is said beside every row of two stages, wherever it is shown."""

PARTS: Final = {
    "score": ".score.json",
    "ranks": ".score.ranks.parquet",
    "embeddings": ".embeddings.parquet",
    "candidates": ".candidates.parquet",
}
"""The files beside an entry: field -> what follows the fingerprint in the name."""

_STEM: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """One row: a model on a dataset.

    Attributes:
        path: the file of the entry.
        status: how far the numbers are verified.
        card: the model.
        dataset: name of the dataset.
        fingerprint: of the dataset; None for a reported row.
        split: the split that was scored.
        samples: number of samples of each domain.
        files: `score`, `ranks`, `embeddings`, `candidates` -> the SHA-256 of those that belong to the entry.
        rounding_change: the largest change of a metric by storing the vectors as float16 or int8.
        cut_from: dimensions of the model's vectors, where only the first of them were kept; None where all were.
        score: what `rope-bench score --json` wrote; None for a reported row.
        source: title and place of the publication of a reported row.
        reported: pair -> metric -> fraction, of a reported row.
        first_stage: id of the row whose candidates a re-ranker scored; None for every other row.
    """

    path: Path
    status: Status
    card: Card
    dataset: str
    fingerprint: str | None
    split: str
    samples: Mapping[DomainName, int]
    files: Mapping[str, str]
    rounding_change: float | None
    cut_from: int | None
    score: Mapping[str, Any] | None
    source: Mapping[str, str] | None
    reported: Mapping[str, Mapping[str, float]]
    first_stage: str | None = None

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """The domains of the dataset, in order."""
        return tuple(self.samples)

    @property
    def pairs(self) -> tuple[str, ...]:
        """The cross-domain pairs of the dataset."""
        return tuple(pair.name for pair in cross_domain_pairs(self.samples))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a board shows: the cross-domain pairs, and their mean."""
        return (*self.pairs, MEAN)

    @property
    def caveat(self) -> str | None:
        """What a reader must know before comparing the row with others; None if nothing."""
        return {"reported": REPORTED_CAVEAT, "reranked": RERANKED_CAVEAT}.get(self.status)

    def part(self, name: str) -> Path:
        """The path of one of `PARTS`."""
        return self.path.with_name(f"{self.path.stem}{PARTS[name]}")

    def value(self, column: str, metric: str) -> float | None:
        """A metric of a pair, or of `mean`, the mean over the cross-domain pairs; None where it is not known."""
        if column == MEAN:
            values = [self.value(pair, metric) for pair in self.pairs]
            known = [value for value in values if value is not None]
            return sum(known) / len(known) if len(known) == len(values) else None
        pairs = self.reported if self.score is None else self.score["pairs"]
        found: float | None = pairs.get(column, {}).get(metric)
        return found


def entry_paths(root: Path) -> list[Path]:
    """The entries in a folder of results, or in the folder of one model, by name.

    Raises:
        UsageError: the folder does not exist.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; expected a folder of results, one folder per model")
    found = [path for pattern in ("*.json", "*/*.json") for path in root.glob(pattern)]
    return sorted(path for path in found if path.name == REPORTED or _STEM.fullmatch(path.stem))


def read_entry(path: Path, *, check_score: bool = True) -> LeaderboardEntry:
    """Read an entry and its score, and check both against their schemas and against each other.

    Only JSON is read; that the vectors and ranks are those of the score is for `leaderboard.verify` to tell.

    Args:
        path: the file of the entry.
        check_score: whether to compare the score with its schema, which takes longer than all else together; not
            needed for results that were verified.

    Raises:
        RopeError: a file is missing, altered or too large, does not fit its schema, or contradicts another or its name.
    """
    raw = migrate(read_json(path), str(path))
    check(raw, "entry", str(path))
    card = card_of(raw["card"], f"{path}: card")
    check_texts(raw, str(path))
    dataset = raw["dataset"]
    entry = LeaderboardEntry(
        path=path,
        status=raw["status"],
        card=card,
        dataset=dataset["name"],
        fingerprint=dataset["fingerprint"],
        split=dataset["split"],
        samples={domain: dataset["samples"][domain] for domain in in_order(dataset["samples"])},
        files={name: raw[name]["sha256"] for name in PARTS if raw.get(name) is not None},
        rounding_change=raw["rounding_change"],
        cut_from=raw["cut_from"],
        score=None if raw["score"] is None else _read_score(path, raw["score"]["sha256"], check_score),
        source=raw["source"],
        reported=raw["reported"] or {},
        first_stage=raw.get("first_stage"),
    )
    _check_names(entry, raw)
    check_modalities(card, entry.domains, str(path))
    if entry.score is not None:
        _check_score(entry, entry.score)
    return entry


def _read_score(path: Path, sha256: str, check_score: bool) -> dict[str, Any]:
    score = path.with_name(f"{path.stem}{PARTS['score']}")
    raw = read_json(score)
    if sha256_of(score) != sha256:
        raise RopeError(f"{score}: not the score that {path.name} was written with (SHA-256 differs); submit again")
    if check_score:
        check(raw, "score", str(score))
        check_texts(raw, str(score))
    return raw


def _check_names(entry: LeaderboardEntry, raw: Mapping[str, Any]) -> None:
    """The names on disk follow from the content, so that no entry can stand in for another."""
    path = entry.path
    if path.parent.name != entry.card.id:
        raise RopeError(f"{path}: the folder is {path.parent.name!r}, expected the card's id {entry.card.id!r}")
    stem = entry.fingerprint or Path(REPORTED).stem
    if path.stem != stem:
        raise RopeError(f"{path}: expected the name {stem}.json, as its dataset says")
    for name in entry.files:
        if raw[name]["file"] != f"{stem}{PARTS[name]}":
            raise RopeError(f"{path}: {name} is {raw[name]['file']!r}, expected {stem}{PARTS[name]}")


def _check_score(entry: LeaderboardEntry, score: Mapping[str, Any]) -> None:
    """What the entry says of the dataset, the model and the ranks is what its score says."""
    told = {
        "model": entry.card.name,
        "ranks": {"file": entry.part("ranks").name, "sha256": entry.files["ranks"]},
    }
    if ("rerank" in score) != (entry.status == "reranked"):
        stages = "two stages" if "rerank" in score else "one stage"
        raise RopeError(f"{entry.path}: is {entry.status}, but its score is of {stages}")
    if entry.status == "reranked":
        candidates = {"file": entry.part("candidates").name, "sha256": entry.files["candidates"]}
        if score["rerank"]["candidates"] != candidates:
            raise RopeError(f"{entry.part('score')}: is of other candidates than the entry; submit again")
    for field, wanted in told.items():
        if score[field] != wanted:
            raise RopeError(
                f"{entry.part('score')}: {field} is {score[field]!r}, expected {wanted!r} as the entry says"
            )
    task = {"fingerprint": entry.fingerprint, "split": entry.split}  # its name is a remark, and no identity
    if {field: score["dataset"][field] for field in task} != task:
        raise RopeError(f"{entry.part('score')}: dataset is {score['dataset']!r}, expected {task!r} as the entry says")
    seed = None if entry.card.run is None else entry.card.run.seed
    if score.get("training_seed") != seed:
        raise RopeError(
            f"{entry.part('score')}: training_seed is {score.get('training_seed')!r}, expected {seed!r} as the card's "
            "run says; submit again"
        )
    counted = {domain: note["n"] for domain, note in score["embeddings"].items()}
    if counted != dict(entry.samples):
        raise RopeError(f"{entry.path}: samples are {dict(entry.samples)}, but its score is of {counted}")
    dims = {note["dim"] for note in score["embeddings"].values()}
    if entry.cut_from is not None and entry.cut_from <= max(dims):
        raise RopeError(f"{entry.path}: cut_from is {entry.cut_from}, expected more than the {max(dims)} that are kept")
