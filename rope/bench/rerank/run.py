"""Run a re-ranker over the first candidates of a result, keep what is finished, and score the new order."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from rope.bench.io.given import Given
from rope.bench.io.provenance import EmbeddingsNote, Provenance, RerankNote
from rope.bench.io.writer import open_writer
from rope.bench.metrics import mean
from rope.bench.questions import Result, ranks_of_result
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.rerank.kept import (
    CANDIDATES_SCHEMA,
    read_candidates,
    score_candidates,
)
from rope.bench.rerank.reranker import Reranker
from rope.bench.rerank.stage import QueryPart, SecondStage, plan_parts
from rope.bench.result import Report
from rope.bench.running.embedder import EmbedderOrigin
from rope.bench.running.key import RunKey, run_key
from rope.bench.score import ordered_labels
from rope.bench.scored_vectors import scored_sides
from rope.bench.stats.query_ranks import QueryRanks
from rope.bench.transform import VectorTransform
from rope.console import progress_bar
from rope.dataset.directory import read_labels
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.errors import UsageError
from rope.files import Address, atomic_path, parts_folder, sha256_of
from rope.workdir import WorkFolder, differences

__all__ = ["rerank_result", "rescore_candidates"]

_NOTE: Final = b"rope_bench_rerank"


def rerank_result(
    first: Result,
    embeddings: Given,
    reranker: Reranker,
    data: "Address | None" = None,
    *,
    out: Path,
    depth: int = 100,
    dims: int | None = None,
    transform: VectorTransform | None = None,
    batch_size: int = 64,
    name: str | None = None,
    compute: ComputeSettings | None = None,
    overwrite: bool = False,
    check: bool = True,
    origin: EmbedderOrigin | None = None,
    progress: bool = False,
) -> Report:
    """Put the first candidates of each query in the order of a re-ranker, keep them with their scores, and score that.

    The candidates are those that the result's own vectors find first, with ties against the model. Those with a score
    come first, by it, and ties count against the re-ranker; the others follow as the first stage had them. Of the
    dataset's pairs, the cross-domain ones are re-ranked, or the one that a dataset of one domain has.

    Finished parts are kept in the folder `OUT.parts`, as `rope.bench.running.run.run_embedder` keeps them: the same
    call goes on where it was stopped.

    Args:
        first: the result of the first stage.
        embeddings: the vectors that it is of.
        reranker: see `rope.bench.rerank.reranker.Reranker`.
        data: the dataset that was scored; None for the one that `rope.dataset.locate.find` finds.
        out: the Parquet file of candidates to write.
        depth: candidates of a query.
        dims: where the result is of the first so many numbers of each vector.
        transform: where the result is of vectors to which this was done.
        batch_size: pairs of samples that the re-ranker gets at a time.
        name: what to call the two stages; None for `rerank of FIRST at k=DEPTH by RERANKER`.
        compute: how to spend the machine on the first stage.
        overwrite: start over: delete the candidates and parts of an earlier run first.
        check: whether to score a few pairs again among others.
        origin: where the re-ranker was found by name.
        progress: draw a bar on stderr, if that is a terminal.

    Raises:
        UsageError: the vectors or the dataset are not those of the result, or `out` or its parts are of another run.
        EmbeddingError: the re-ranker returned something else than a finite float for each pair, or another one for the
            same pair in another batch.
        DatasetError: the dataset cannot be read.
    """
    if depth < 1 or batch_size < 1:
        raise UsageError(f"--depth {depth} and --batch-size {batch_size}: expected 1 or more")
    directory, ranks = locate(data), ranks_of_result(first)
    if ranks.origin.candidates is not None:
        raise UsageError(f"{ranks.origin.model} is a second stage already; give the result of the first")
    sides, provenance = scored_sides(ranks.origin, embeddings, directory, dims=dims, transform=transform)
    key = run_key(reranker, read_manifest(directory), ranks.origin.split, batch_size, origin or EmbedderOrigin())
    note = _note(name, ranks, provenance, depth, reranker, key)
    work = _work(out, key, note)
    if overwrite:
        _discard(out, work)
    if not _is_finished(out, work):
        run = SecondStage(reranker, ranks, sides, directory, depth, batch_size, compute or ComputeSettings(), check)
        parts = plan_parts(sides, work.path)
        with work.claimed():
            total = sum(len(part.queries) for part in parts)
            with progress_bar(f"re-ranking with {reranker.name}", total, shown=progress) as advance:
                run.score_missing(parts, advance)
            _merge(parts, work, out)
    if work.path.exists():
        _empty(work)
    return rescore_candidates(out, directory)


def rescore_candidates(candidates: Path, data: "Address | None" = None) -> Report:
    """Score kept candidates again, without the re-ranker and the vectors: all that is told follows from the file.

    Args:
        candidates: what `rerank_result` wrote.
        data: the dataset; None for the one that `rope.dataset.locate.find` finds.

    Raises:
        UsageError: the file is something else, or of another dataset.
        RopeError: the candidates are not those of this dataset.
    """
    kept, directory = read_candidates(candidates), locate(data)
    note, manifest = _read_note(candidates), read_manifest(directory)
    told = note["provenance"]
    if told["fingerprint"] != manifest.fingerprint:
        raise UsageError(
            f"{candidates} is of the dataset {told['fingerprint'][:12]}, and {directory} is "
            f"{manifest.fingerprint[:12]}; give the dataset that was scored"
        )
    scored = score_candidates(kept, ordered_labels(read_labels(directory, told["split"])), note["depth"])
    stage = note["first_stage"]
    second = RerankNote(
        stage["model"],
        stage["headline"],
        note["depth"],
        note["reranker"]["name"],
        note["reranker"]["fingerprint"],
        candidates.name,
        sha256_of(candidates),
    )
    notes = {domain: EmbeddingsNote(**one) for domain, one in told["embeddings"].items()}
    named = (note["model"], manifest.name, manifest.fingerprint, told["split"])
    return Report(scored, Provenance(*named, notes, told["training_seed"], rerank=second))


def _note(
    name: str | None, ranks: QueryRanks, provenance: Provenance, depth: int, reranker: Reranker, key: RunKey
) -> dict[str, Any]:
    """What a file of candidates says of itself, and what decides its bytes."""
    found = [mean(ranks.pairs[pair].rank <= 1) for pair in ranks.cross_pairs]
    return {
        "model": name or f"rerank of {ranks.origin.model} at k={depth} by {reranker.name}",
        "first_stage": {"model": ranks.origin.model, "headline": mean(found) if found else None},
        "depth": depth,
        "reranker": {"name": reranker.name, "fingerprint": key.embedder_fingerprint},
        "provenance": {
            "fingerprint": provenance.fingerprint,
            "split": provenance.split,
            "training_seed": ranks.origin.training_seed,
            "embeddings": {domain: asdict(note) for domain, note in provenance.embeddings.items()},
        },
        "key": json.loads(key.to_json()),
    }


def _read_note(path: Path) -> dict[str, Any]:
    metadata = pq.read_schema(path).metadata or {}
    try:
        note: dict[str, Any] = json.loads(metadata[_NOTE])
        return note
    except (KeyError, ValueError) as error:
        raise UsageError(f"{path}: does not say what it is of; make it again with rope-bench rerank") from error


def _work(out: Path, key: RunKey, note: Mapping[str, Any]) -> WorkFolder:
    folder = parts_folder(out)

    def differs(there: str) -> str:
        stored = json.loads(there)
        own = {name: value for name, value in note.items() if name != "key"}
        others = {name: value for name, value in stored.items() if name != "key"}
        return key.why_not_resumed(json.dumps(stored.get("key", {}))) or differences(others, own)

    def written() -> list[Path]:
        return [path for path in folder.iterdir() if path.suffix in (".parquet", ".part")]

    text = json.dumps(note, sort_keys=True, ensure_ascii=False)
    return WorkFolder(folder, "key.json", text, "an unfinished run", differs, written=written)


def _is_finished(out: Path, work: WorkFolder) -> bool:
    """Whether `out` is the result of this run.

    Raises:
        UsageError: it is anything else.
    """
    if not out.exists():
        return False
    read_candidates(out)
    if why := work.differs(json.dumps(_read_note(out))):
        raise UsageError(f"{out} exists already: {why}; start over with --overwrite, or choose another file")
    return True


def _discard(out: Path, work: WorkFolder) -> None:
    if out.exists():
        _read_note(out)  # or it is not ours
        out.unlink()
    if work.path.exists():
        work.is_begun(overwrite=True)
        _empty(work)


def _empty(work: WorkFolder) -> None:
    work.discard()
    if not any(work.path.iterdir()):
        work.path.rmdir()


def _merge(parts: Sequence[QueryPart], work: WorkFolder, out: Path) -> None:
    merged = work.path / "merged.parquet"
    schema = CANDIDATES_SCHEMA.with_metadata({_NOTE: work.text.encode()})
    with atomic_path(merged) as temporary, open_writer(temporary, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part.path).cast(schema))
    merged.replace(out)
