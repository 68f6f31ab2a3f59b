"""Is every row what it says it is? Nothing that was submitted is run: JSON and Parquet are read, and scored again.

Checks go from cheap to dear, and each is made only where those before it hold: names and sizes, schemas and hashes,
identities, and at last the score of the vectors, which must come out the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from leaderboard.bounded import Bounds, check_parquet
from leaderboard.entry import PARTS, REPORTED, Entry, entry_paths, read_entry
from leaderboard.identities import reported_problems, score_problems
from leaderboard.submit import DRAWS
from leaderboard.vectors import MAX_BYTES, check_vectors_file
from rope.bench.embeddings import DomainEmbeddings
from rope.bench.engine import Effort
from rope.bench.intervals import intervals_of
from rope.bench.ranks import RANKS_SCHEMA, Ranks, load_ranks, ranks_of
from rope.bench.readers import read_embeddings
from rope.bench.report import as_json
from rope.bench.score import PROTOCOL_VERSION, score
from rope.bench.subject import load_subject
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Split, in_order, with_published
from rope.errors import MissingExtraError, RopeError
from rope.files import sha256_of

__all__ = ["Stage", "Verdict", "lost_rows", "stray_files", "verify", "verify_entry"]

_LAST_DIGITS: Final = ("ci95", "expected_ci95", "ci95_draws", "std", "std_bound")
"""Numbers whose last digits differ between machines, as sums of float64 do; all others must be equal."""

Stage = Literal["names", "entry", "identities", "files", "ranks", "dataset", "vectors", "last release"]
"""The check that a row failed, or the last that it passed; says nothing of what is in the row."""

_ROUNDING: Final = 1e-9
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one row.

    Attributes:
        path: the file of the entry, or a file that belongs to none.
        is_rescored: whether its vectors were scored again.
        problems: why it is refused, a sentence each; none if it is not. They may name samples.
        stage: the check that it failed, or the last that it passed.
    """

    path: Path
    is_rescored: bool
    problems: tuple[str, ...]
    stage: Stage = "entry"

    @property
    def is_unscored(self) -> bool:
        """Whether all is sound but the vectors, whose dataset was not given."""
        return self.stage == "dataset" and not self.problems


def verify(
    root: Path,
    datasets: Sequence[Path],
    *,
    base: Path | None = None,
    allow_unscored: bool = False,
    effort: Effort | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Verdict]:
    """Check every row in a folder of results, and every file.

    Args:
        root: a folder of results, or the folder of one model.
        datasets: dataset directories to score vectors on, found by their fingerprints.
        base: the results of the last release; each of its rows must still be there.
        allow_unscored: let vectors of a dataset that is not given pass, as not scored; they are a problem otherwise.
        effort: how to spend the machine; it changes no number.
        advance: told of each row that is done.

    Returns:
        A verdict for each entry and each stray file, by path, and one for each row that was lost.
    """
    known = {read_manifest(data).fingerprint: data for data in datasets}
    verdicts = [Verdict(path, False, (f"{path}: {why}",), "names") for path, why in stray_files(root)]
    for path in entry_paths(root):
        verdict = verify_entry(path, known, effort or Effort())
        verdicts.append(replace(verdict, problems=()) if allow_unscored and verdict.stage == "dataset" else verdict)
        advance(1)
    if base is not None:
        verdicts += [
            Verdict(path, False, (f"{path}: a row of the last release is lost",), "last release")
            for path in lost_rows(root, base)
        ]
    return sorted(verdicts, key=lambda verdict: (str(verdict.path), verdict.problems))


def stray_files(root: Path) -> list[tuple[Path, str]]:
    """Files that belong to no entry, each with the reason to refuse it: links, pickles, scripts, anything unnamed."""
    owned = {path for entry in entry_paths(root) for path in _files_of(entry)}
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found.append((path, "a link; submit the file itself"))
        elif path.is_file() and path not in owned:
            found.append(
                (path, "belongs to no entry; a submission holds what rope-bench submit wrote, and nothing else")
            )
    return found


def lost_rows(root: Path, base: Path) -> list[Path]:
    """Rows of `base` that `root` does not have, as paths in `root`."""
    wanted = [root / path.relative_to(base) for path in entry_paths(base)]
    return [path for path in wanted if not path.is_file()]


def verify_entry(path: Path, datasets: Mapping[str, Path], effort: Effort) -> Verdict:
    """Check one row.

    Args:
        path: the file of the entry.
        datasets: fingerprint -> dataset directory.
        effort: how to spend the machine.
    """
    stage: Stage = "entry"
    try:
        entry = read_entry(path)
        if entry.score is None:
            return Verdict(path, False, tuple(f"{path}: {text}" for text in reported_problems(entry.reported)))
        stage = "identities"
        problems = [*_terms(entry.score), *score_problems(entry.score)]
        if not problems:
            stage = "files"
            _check_parts(entry)
            stage = "ranks"
            ranks = load_ranks(entry.part("score"))
            problems += _interval_problems(entry.score, ranks)
            data = datasets.get(entry.fingerprint or "")
            if entry.status == "recomputed" and not problems:
                stage = "dataset" if data is None else "vectors"
                problems += _rescore(entry, ranks, data, effort)
        is_rescored = entry.status == "recomputed" and not problems
        return Verdict(path, is_rescored, tuple(f"{path}: {text}" for text in problems), stage)
    except MissingExtraError:  # not the row's fault
        raise
    except RopeError as error:
        return Verdict(path, False, (str(error),), stage)


def _files_of(entry: Path) -> list[Path]:
    if entry.name == REPORTED:
        return [entry]
    return [entry, *(entry.with_name(f"{entry.stem}{suffix}") for suffix in PARTS.values())]


def _terms(score: Mapping[str, Any]) -> list[str]:
    """The protocol and its settings are those of the board."""
    told = score["protocol"]
    wanted = {"version": PROTOCOL_VERSION, "seed": DRAWS.seed, "trials": DRAWS.trials, "shots": DRAWS.shots}
    return [
        f"protocol {key} is {told[key]!r}, expected {value!r}" for key, value in wanted.items() if told[key] != value
    ]


def _check_parts(entry: Entry) -> None:
    for name, sha256 in entry.files.items():
        path = entry.part(name)
        if name == "embeddings":
            check_vectors_file(path, sum(entry.samples.values()))
        elif name == "ranks" and entry.score is not None:
            _check_ranks_file(path, entry.score["pairs"])
        if sha256_of(path) != sha256:
            raise RopeError(f"{path}: not the file that the entry was written with (SHA-256 differs); submit again")


def _check_ranks_file(path: Path, pairs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a file that is not one of ranks of so many queries in these pairs, before a rank is read."""
    asked = {name: pair["n_queries"] for name, pair in pairs.items() if pair["n_queries"]}

    def bounds_of(schema: pa.Schema) -> Bounds:
        if sorted(map(str, schema)) != sorted(map(str, RANKS_SCHEMA)):
            columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
            raise RopeError(f"{path}: columns {columns[:300]}; expected those that rope-bench score --json writes")
        texts = {"pair": frozenset(asked), "query_id": None, "product_id": None}
        return Bounds(MAX_BYTES, sum(asked.values()), texts=texts)

    check_parquet(path, bounds_of, MAX_BYTES)


def _interval_problems(score: Mapping[str, Any], ranks: Ranks) -> list[str]:
    """R@1 and the number of queries are compared by `load_ranks`; here, what else follows from the ranks."""
    found = intervals_of(ranks)
    headline, told = found.headline, score["headline"]["ci95"]
    bounds = None if headline is None or headline.low is None else [headline.low, headline.high]
    if not _alike(told, bounds, _ROUNDING):
        return [f"the interval of the headline is {told}, but its ranks give {bounds}"]
    problems = []
    for name, pair in found.pairs.items():
        for metric, interval in pair.micro.items():
            value = score["pairs"][name][metric]
            if not _alike(value, interval.value, _ROUNDING):
                problems.append(f"{metric} of {name} is {value}, but its ranks give {interval.value}")
    return problems


def _rescore(entry: Entry, ranks: Ranks, data: Path | None, effort: Effort) -> list[str]:
    """Score the vectors again and compare every number."""
    if data is None:
        return [
            f"its vectors cannot be scored: no dataset {entry.fingerprint} was given; name its directory with --data"
        ]
    split: Split = "validation"
    if entry.split != split:
        return [f"scored on the split {entry.split}; the board is of {split}"]
    labels, vectors = read_labels(data, split), entry.part("embeddings")
    if leaks := _leaks(data, read_embeddings([vectors], with_published(labels))):
        return leaks
    embeddings, ordered, subject = load_subject([vectors], read_manifest(data), split, labels, entry.card.name)
    assert entry.score is not None
    told = entry.score["embeddings"]
    for domain, note in subject.embeddings.items():
        if note.sha256 != told[domain]["sha256"]:
            return [f"the vectors of {domain}s are not those that were scored (their hash differs)"]
    found = score(embeddings, ordered, DRAWS, effort)
    again = ranks_of(found, subject)
    rescored = as_json(found, subject, intervals_of(again), None)
    problems = [
        f"{where} is {told}, but its vectors give {value}"
        for key in ("headline", "protocol", "dataset", "embeddings", "pairs", "one_shot")
        for where, told, value in _differences(entry.score[key], rescored[key], key)
    ]
    if not problems and not _same_ranks(ranks, again):
        problems.append("the ranks are not those of its vectors")
    more = [f"and {len(problems) - _SHOWN} more numbers differ"] if len(problems) > _SHOWN else []
    return problems[:_SHOWN] + more


def _leaks(data: Path, embeddings: Mapping[DomainName, DomainEmbeddings]) -> list[str]:
    """Samples of the training split among the vectors."""
    if "train" not in read_manifest(data).counts:
        return []
    train, validation = read_labels(data, "train"), read_labels(data, "validation")
    problems = []
    for domain in in_order(embeddings):
        known = set(train[domain].sample_ids) - set(validation[domain].sample_ids)
        leaked = sorted(known.intersection(embeddings[domain].sample_ids))
        if leaked:
            problems.append(f"{len(leaked)} {domain}s are of the split train, {leaked[0]!r} the first")
    return problems


def _differences(told: Any, found: Any, where: str, tolerance: float = 0.0) -> list[tuple[str, Any, Any]]:  # noqa: ANN401
    """The places at which two JSON values differ, each with both values."""
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        return [
            difference
            for key in sorted({*told, *found})
            for difference in _differences(
                told.get(key), found.get(key), f"{where}.{key}", _ROUNDING if key in _LAST_DIGITS else tolerance
            )
        ]
    return [] if _alike(told, found, tolerance) else [(where, told, found)]


def _alike(told: Any, found: Any, tolerance: float) -> bool:  # noqa: ANN401 (JSON values)
    if isinstance(told, list | tuple) and isinstance(found, list | tuple):
        return len(told) == len(found) and all(_alike(a, b, tolerance) for a, b in zip(told, found, strict=True))
    if isinstance(told, int | float) and isinstance(found, int | float):
        return abs(told - found) <= tolerance
    return bool(told == found)


def _same_ranks(told: Ranks, found: Ranks) -> bool:
    return told.product_ids == found.product_ids and all(
        name in told.pairs
        and told.pairs[name].query_ids == pair.query_ids
        and np.array_equal(told.pairs[name].products, pair.products)
        and np.array_equal(told.pairs[name].n_positives, pair.n_positives)
        and np.array_equal(told.pairs[name].rank, pair.rank)
        and np.array_equal(told.pairs[name].rank_optimistic, pair.rank_optimistic)
        and np.array_equal(told.pairs[name].average_precision, pair.average_precision)
        and np.array_equal(told.pairs[name].hits, pair.hits)
        for name, pair in found.pairs.items()
    )
