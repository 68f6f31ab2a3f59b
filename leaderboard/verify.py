"""Is every row what it says it is? Nothing that was submitted is run: JSON and Parquet are read, and scored again.

Checks go from cheap to dear, and each is made only where those before it hold: names and sizes, schemas and hashes,
identities, and at last the score of the vectors, which must come out the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from leaderboard.bounded import Bounds, check_parquet
from leaderboard.differences import ROUNDING, are_alike, differences, different_numbers
from leaderboard.entry import LeaderboardEntry, read_entry
from leaderboard.identities import rank_problems, reported_problems, score_problems, task_of, task_problems
from leaderboard.known import SPLIT, KnownDataset, find_dataset, queries_of, unregistered
from leaderboard.second_stage import check_candidates_file, rescore_second_stage
from leaderboard.submit import DRAWS
from leaderboard.text import printable
from leaderboard.vectors import MAX_BYTES, check_vectors_file
from rope.bench.io.embeddings import DomainEmbeddings, embeddings_sha256
from rope.bench.io.provenance import load_provenance
from rope.bench.io.readers import read_embeddings
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import retrieval_json
from rope.bench.result import report_on
from rope.bench.score import PROTOCOL_VERSION
from rope.bench.stats.intervals import intervals_of
from rope.bench.stats.query_ranks import RANKS_SCHEMA, QueryRanks, chance_in_galleries, load_ranks
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, in_order, with_published
from rope.errors import MissingExtraError, RopeError
from rope.files import sha256_of

__all__ = ["Stage", "Verdict", "verify_entry"]

Stage = Literal["names", "entry", "dataset", "identities", "files", "ranks", "vectors", "board", "last release"]
"""The check that a row failed, or the last that it passed; says nothing of what is in the row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of checking one row.

    Attributes:
        path: the file of the entry, or a file that belongs to none.
        is_rescored: whether its vectors were scored again.
        problems: why it is refused, a sentence each; none if it is not. They may name samples.
        stage: the check that it failed, or the last that it passed.
        entry: the row, once it could be read.
        dataset: that it is of.
        task: a hash of its queries, their products and numbers of positives; empty where it has no ranks.
    """

    path: Path
    is_rescored: bool
    problems: tuple[str, ...]
    stage: Stage = "entry"
    entry: LeaderboardEntry | None = None
    dataset: KnownDataset | None = None
    task: str = ""

    @property
    def is_unscored(self) -> bool:
        """Whether all is sound but the vectors, whose dataset was not given."""
        return self.stage == "dataset" and not self.problems

    def with_problems(self, stage: Stage, problems: Sequence[str]) -> "Verdict":
        """The same after another check."""
        return replace(self, stage=stage, problems=tuple(f"{self.path}: {text}" for text in problems))


def verify_entry(
    path: Path, known: Sequence[KnownDataset], compute: ComputeSettings, *, allow_unscored: bool = False
) -> Verdict:
    """Check one row without looking at the others.

    Args:
        path: the file of the entry.
        known: the datasets that have a board.
        compute: how to spend the machine.
        allow_unscored: let a row pass whose dataset is not given, or not known at all.
    """
    verdict = Verdict(path, False, ())
    try:
        for verdict in _stages(path, known, compute, allow_unscored):
            if verdict.problems:
                break
    except MissingExtraError:  # not the row's fault
        raise
    except RopeError as error:
        return replace(verdict, problems=(str(error),))
    except Exception as error:  # a row must not end the check of all others
        text = f"{path}: the check itself failed on it ({type(error).__name__}: {printable(str(error))[:200]})"
        return replace(verdict, problems=(f"{text}; this is a fault of the program, please report it",))
    return verdict


def _stages(
    path: Path, known: Sequence[KnownDataset], compute: ComputeSettings, allow_unscored: bool
) -> Iterator[Verdict]:
    """The verdict as it is before and after each check, cheap ones first; the caller stops at the first problem."""
    told = Verdict(path, False, ())
    yield told
    entry = read_entry(path)
    dataset = find_dataset(known, entry.dataset, entry.fingerprint, entry.samples)
    if dataset is None and allow_unscored and entry.fingerprint is not None:
        dataset = unregistered(entry.fingerprint, entry.samples)
    told = replace(told, entry=entry, dataset=dataset)
    yield told.with_problems("dataset", dataset_problems(entry, dataset))
    if dataset is None or entry.score is None:
        yield told.with_problems("identities", reported_problems(entry.reported, entry.domains))
        return
    yield told.with_problems("identities", [*_terms(entry.score), *score_problems(entry.score)])
    yield told.with_problems("files", [])
    _check_parts(entry)
    yield told.with_problems("ranks", [])
    ranks = load_ranks(entry.part("score"))
    found = [*_numbers_problems(entry.score, ranks), *rank_problems(ranks, entry.samples)]
    if not found and dataset.directory is not None:
        wanted = queries_of(dataset.directory, dataset.fingerprint or "")
        if entry.status == "reranked":
            wanted = {name: queries for name, queries in wanted.items() if name in entry.pairs}
        found = task_problems(ranks, wanted)
    told = replace(told, task=task_of(ranks))
    yield told.with_problems("ranks", found)
    if entry.status in ("recomputed", "reranked"):
        if dataset.directory is not None:
            yield told.with_problems("vectors", [])
            again = _rescore if entry.status == "recomputed" else rescore_second_stage
            found = again(entry, ranks, dataset.directory, compute)
            yield replace(told.with_problems("vectors", found), is_rescored=not found)
        else:
            yield told.with_problems("dataset", [] if allow_unscored else [_not_given(entry)])
            yield told.with_problems("dataset", _unscored_problems(entry) if entry.status == "recomputed" else [])


def dataset_problems(entry: LeaderboardEntry, dataset: KnownDataset | None) -> list[str]:
    """Whether a row is of a dataset that has a board, and of the split and samples of that."""
    if dataset is None:
        of = (
            f"of the fingerprint {entry.fingerprint}" if entry.fingerprint else f"called {entry.dataset!r} of this size"
        )
        return [
            f"no dataset {of} is known, so its vectors and ranks cannot be scored or compared; "
            "name its directory with --data"
        ]
    if entry.split != SPLIT:
        return [f"scored on the split {entry.split}; the board is of {SPLIT}"]
    if dict(entry.samples) != dict(dataset.samples):
        return [f"has the samples {dict(entry.samples)}, but {dataset.name} has {dict(dataset.samples)}"]
    return []


def _not_given(entry: LeaderboardEntry) -> str:
    return f"its vectors cannot be scored: no dataset {entry.fingerprint} was given; name its directory with --data"


def _unscored_problems(entry: LeaderboardEntry) -> list[str]:
    """What can be told of vectors without their dataset: they are those of the score, and each has a direction."""
    assert entry.score is not None
    found = read_embeddings([entry.part("embeddings")], entry.domains, any_number=True)
    problems = []
    for domain in entry.domains:
        told, rows = entry.score["embeddings"][domain], found.get(domain)
        if rows is None or told["sha256"] != embeddings_sha256(rows) or told["dim"] != rows.vectors.shape[1]:
            problems.append(f"the vectors of {domain}s are not those that were scored (their hash differs)")
        elif not all(_have_direction(role) for role in (rows, rows.queries) if role is not None):
            problems.append(f"the vectors of {domain}s hold NaN, infinity or a row of zeros")
    return problems


def _have_direction(rows: DomainEmbeddings) -> bool:
    return bool(np.isfinite(rows.vectors).all() and rows.vectors.any(axis=1).all())


def _terms(score: Mapping[str, Any]) -> list[str]:
    """The protocol and its settings are those of the board."""
    told = score["protocol"]
    wanted = {"version": PROTOCOL_VERSION, "seed": DRAWS.seed, "trials": DRAWS.trials, "shots": DRAWS.shots}
    return [
        f"protocol {key} is {told[key]!r}, expected {value!r}" for key, value in wanted.items() if told[key] != value
    ]


def _check_parts(entry: LeaderboardEntry) -> None:
    for name, sha256 in entry.files.items():
        path = entry.part(name)
        if name == "embeddings":
            check_vectors_file(path, sum(entry.samples.values()))
        elif name == "ranks" and entry.score is not None:
            _check_ranks_file(path, entry.score["pairs"])
        elif name == "candidates" and entry.score is not None:
            check_candidates_file(path, entry.score["pairs"])
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


def _numbers_problems(score: Mapping[str, Any], ranks: QueryRanks) -> list[str]:
    """R@1 and the number of queries are compared by `load_ranks`; here, everything else that follows from the ranks."""
    found = intervals_of(ranks)
    headline, told = found.headline, score["headline"]["ci95"]
    bounds = None if headline is None or headline.low is None else [headline.low, headline.high]
    if not are_alike(told, bounds, ROUNDING):
        return [f"the interval of the headline is {told}, but its ranks give {bounds}"]
    chances = chance_in_galleries(ranks, {name: score["pairs"][name]["n_gallery"] for name in ranks.pairs})
    by_chance = {name: {f"R@{k}": value for k, value in of_pair.items()} for name, of_pair in chances.items()}
    wrong = differences(score.get("by_chance", by_chance), by_chance, "by_chance", ROUNDING)  # earlier ones say none
    for name, numbers in retrieval_json(ranks, found).items():
        wrong += differences({key: score["pairs"][name][key] for key in numbers}, numbers, name, ROUNDING)
    return [f"{where} is {value}, but its ranks give {again}" for where, value, again in wrong]


def _rescore(entry: LeaderboardEntry, ranks: QueryRanks, data: Path, compute: ComputeSettings) -> list[str]:
    """Score the vectors again and compare every number."""
    labels, vectors = read_labels(data, SPLIT), entry.part("embeddings")
    if leaks := _leaks(data, read_embeddings([vectors], with_published(labels), any_number=True)):
        return leaks
    embeddings, ordered, provenance = load_provenance([vectors], read_manifest(data), SPLIT, labels, entry.card.name)
    assert entry.score is not None
    told = entry.score["embeddings"]
    for domain, note in provenance.embeddings.items():
        if note.sha256 != told[domain]["sha256"]:
            return [f"the vectors of {domain}s are not those that were scored (their hash differs)"]
    report = report_on(embeddings, ordered, provenance, DRAWS, compute)
    rescored = report.to_dict()
    keys = ("headline", "protocol", "embeddings", "pairs", "one_shot")
    return different_numbers(entry.score, rescored, keys, ranks, report.ranks, "vectors")


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
