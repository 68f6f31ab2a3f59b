"""Rows of two stages: the candidates of another row with the scores of a re-ranker, submitted and scored again."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from leaderboard.bounded import Bounds, check_parquet
from leaderboard.card import card_of, check_modalities
from leaderboard.differences import different_numbers
from leaderboard.entry import PARTS, LeaderboardEntry, entry_paths, read_entry
from leaderboard.known import SPLIT
from leaderboard.parquet_headers import read_footer
from leaderboard.schema import SCHEMA_VERSION
from leaderboard.vectors import MAX_BYTES
from rope.bench.io.provenance import Provenance
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import write_json
from rope.bench.rerank.kept import CANDIDATES_SCHEMA, read_candidates, score_candidates
from rope.bench.rerank.run import rescore_candidates
from rope.bench.rerank.stage import candidates_of
from rope.bench.result import Report
from rope.bench.score import ordered_labels
from rope.bench.scored_vectors import scored_sides
from rope.bench.stats.query_ranks import QueryRanks, load_ranks
from rope.dataset.directory import read_labels
from rope.domain import pair_of
from rope.errors import RopeError
from rope.files import AnyPath, atomic_path, sha256_of

__all__ = ["check_candidates_file", "rescore_second_stage", "submit_candidates"]


def submit_candidates(candidates: Path, card: Mapping[str, Any], data: AnyPath, out: Path) -> Path:
    """Write the folder of a submission of two stages, `out/<id>/`, and return the path of its entry.

    Args:
        candidates: what `rope-bench rerank` kept, of the stored vectors of a row in `out`.
        card: as `leaderboard.card.read_card` returns it; of the two stages together.
        data: the dataset directory.
        out: a folder of results, in which the row of the first stage is.

    Raises:
        RopeError: the first stage is not a row in `out`.
        UsageError: the file is something else, or of another dataset.
    """
    model, report = card_of(card, "the card"), rescore_candidates(candidates, data)
    note, stem = report.provenance.rerank, report.provenance.fingerprint
    assert note is not None, "that is what candidates give"
    vectors = {domain: one.sha256 for domain, one in report.provenance.embeddings.items()}
    first = _row_of(vectors, out, stem)
    check_modalities(model, list(vectors), "the card")
    folder = out / model.id
    names = {part: folder / f"{stem}{suffix}" for part, suffix in PARTS.items() if part != "embeddings"}
    with atomic_path(names["candidates"]) as temporary:  # in few row groups, as the board reads no others
        pq.write_table(pq.read_table(candidates), temporary, row_group_size=1 << 20)
    kept = replace(note, candidates=names["candidates"].name, sha256=sha256_of(names["candidates"]))
    seed = None if model.run is None else model.run.seed
    provenance = replace(report.provenance, model=model.name, training_seed=seed, rerank=kept)
    Report(report.score, provenance).save(names["score"], ranks=names["ranks"])
    entry = folder / f"{stem}.json"
    write_json(
        entry,
        {
            "schema_version": SCHEMA_VERSION,
            "status": "reranked",
            "card": dict(card),
            "dataset": {
                "name": provenance.dataset,
                "fingerprint": stem,
                "split": provenance.split,
                "samples": {domain: one.n for domain, one in provenance.embeddings.items()},
            },
            **{part: {"file": path.name, "sha256": sha256_of(path)} for part, path in names.items()},
            **dict.fromkeys(("embeddings", "rounding_change", "cut_from", "source", "reported")),
            "first_stage": first,
        },
    )
    return entry


def _row_of(vectors: Mapping[str, str], out: Path, fingerprint: str) -> str:
    """The id of the row that has these vectors."""
    for path in entry_paths(out) if out.is_dir() else ():
        row = read_entry(path, check_score=False) if path.stem == fingerprint else None
        if row is None or row.status != "recomputed" or row.score is None:
            continue
        if {domain: note["sha256"] for domain, note in row.score["embeddings"].items()} == vectors:
            return row.card.id
    raise RopeError(
        f"{out}: no row has the vectors of the first stage; submit that first, and re-rank its stored vectors: "
        f"rope-bench rerank {out}/ID/{fingerprint[:12]}….score.json {out}/ID/{fingerprint[:12]}….embeddings.parquet"
    )


def check_candidates_file(path: Path, pairs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a file of candidates by its size, columns, rows and ids, before a score is read.

    Args:
        path: what may be anything.
        pairs: what the score says of each pair.

    Raises:
        RopeError: it is not a file that `submit_candidates` writes of so many queries; see `leaderboard.bounded`.
    """

    def bounds_of(schema: pa.Schema) -> Bounds:
        if schema.remove_metadata() != CANDIDATES_SCHEMA:
            columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
            raise RopeError(f"{path}: columns {columns[:300]}; expected those that rope-bench rerank writes")
        most = sum(pair["n_queries"] * pair["n_gallery"] for pair in pairs.values())
        texts = {"pair": frozenset(pairs), "query_id": None, "sample_id": None}
        return Bounds(MAX_BYTES, min(read_footer(path).n_rows, most), texts=texts)

    check_parquet(path, bounds_of, MAX_BYTES)


def rescore_second_stage(entry: LeaderboardEntry, ranks: QueryRanks, data: Path, compute: ComputeSettings) -> list[str]:
    """Score the kept candidates again, and find them again with the vectors of the row of the first stage."""
    assert entry.score is not None
    assert entry.first_stage is not None
    told, labels = entry.score, ordered_labels(read_labels(data, SPLIT))
    depth, kept = told["rerank"]["depth"], read_candidates(entry.part("candidates"))
    scored = score_candidates(kept, labels, depth)
    of_first = entry.path.parent.parent / entry.first_stage / entry.path.name
    if not of_first.is_file():
        return [f"its first stage, {of_first}, is missing; a row of two stages needs the row of its first stage"]
    first = read_entry(of_first)
    if first.status != "recomputed" or first.score is None:
        return [f"its first stage, {entry.first_stage}, is {first.status}; expected a row with vectors"]
    for field, value, wanted in (
        ("vectors", told["embeddings"], first.score["embeddings"]),
        ("first stage", told["rerank"]["first_stage"]["headline"], first.score["headline"]["value"]),
    ):
        if value != wanted:
            return [f"its {field} are not those of the row {entry.first_stage}"]
    provenance = Provenance(entry.card.name, told["dataset"]["name"], told["dataset"]["fingerprint"], SPLIT, {})
    report = Report(scored, provenance)
    keys = ("headline", "protocol", "pairs", "one_shot")
    problems = different_numbers(told, report.to_dict(), keys, ranks, report.ranks, "candidates")
    if problems:
        return problems
    sides, _ = scored_sides(load_ranks(first.part("score")).origin, [first.part("embeddings")], data)
    for name, pair in kept.items():
        of = pair_of(name)
        number = {sample_id: row for row, sample_id in enumerate(labels[of.query].sample_ids)}
        queries = np.array([number[query_id] for query_id in pair.query_ids], np.int64)
        ids = sides[of.gallery].sample_ids
        for i, found in enumerate(candidates_of(of, queries, sides, depth, compute)):
            some = slice(*pair.offsets[i : i + 2].tolist())
            same = [ids[row] for row in found.rows] == pair.sample_ids[some]
            if not same or not np.array_equal(found.places, pair.places[some]):
                return [
                    f"{name}: query {pair.query_ids[i]!r}: not the candidates that the vectors of its first stage find"
                ]
    return []
