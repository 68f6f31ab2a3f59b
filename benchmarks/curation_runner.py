"""What shards, manifests and row accounting cost: our runner beside a plain loop and others doing the same job.

    python -m benchmarks.curation_runner [--rows 1000000] [--rounds 1] [--peers PYTHON]

The job: read Parquet, score each text by one pure function (a hash of it as a vector of 64 numbers, and its cosine
with a fixed one), keep a tenth of the rows by it, write these and the others, with their scores, as Parquet. Peers
write the kept rows alone. Then the same with one row on which the function raises: how many of the other rows are lost?
Every way runs in its own process, on two processes where it can. Seconds of the processor are those of all processes of
a way, from start to end; the others leave out Python's start. Of several rounds, the least of each counts.
PYTHON is that of an environment with daft, ray[data], datatrove[io,processing] and pyarrow. Linux alone.
"""

import argparse
import ctypes
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.pipeline.operation import MapOperation, Outcome, rejects_of

ROOT = Path(__file__).parents[1]
N_FILES = 20
BATCH = 8192
CUT = 0.16  # about a tenth of the rows are above it
POISON = "poison"
WEIGHTS = np.random.default_rng(0).standard_normal(64)
OURS = ("plain loop", "plain loop, kept rows alone", "rope curate, 1 worker", "rope curate, 2 workers")
PEERS = ("daft", "daft, on_error=ignore", "ray data", "ray data, max_errored_blocks=-1", "datatrove, 1 worker")
PEERS += ("datatrove, 2 workers",)


def score(texts: list[str]) -> np.ndarray:
    """Cosines; float64 [n]."""
    if POISON in texts:
        raise ValueError("cannot stand this text")
    digests = b"".join([hashlib.blake2b(text.encode()).digest() for text in texts])
    vectors = np.frombuffer(digests, np.uint8).reshape(-1, 64) - 127.5
    return vectors @ WEIGHTS / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(WEIGHTS))


@dataclass(frozen=True)
class NoOptions:
    """None."""


def keep(batch: pa.RecordBatch, _: NoOptions) -> Outcome:
    values = pa.array(score(batch["text"].to_pylist()), pa.float64())
    is_kept = pc.greater_equal(values, CUT)
    rejected = batch.select(["id", "domain"]).filter(pc.invert(is_kept))
    kept = batch.append_column("similarity", values).filter(is_kept)
    return Outcome(kept, rejects_of(rejected, "low_similarity", score=values.filter(pc.invert(is_kept))))


KEEP = MapOperation(version=1, options=NoOptions, apply=keep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", help="Python of an environment with daft, ray[data] and datatrove.")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        began = time.perf_counter()
        n_kept = run(options.way, options.folder)
        print(json.dumps({"kept": n_kept, "seconds": time.perf_counter() - began}))
    else:
        compare(options.rows, options.rounds, options.peers)


def compare(n_rows: int, n_rounds: int, peers: str | None) -> None:
    ways = [(way, sys.executable) for way in OURS] + [(way, peers) for way in PEERS if peers]
    head = ("way", "seconds", "ratio", "seconds of the processor", "ratio", "kept", "other rows lost to one poison row")
    with tempfile.TemporaryDirectory() as folder:
        write_pools(Path(folder), n_rows)
        print(f"{n_rows:,} rows\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)
        floor: dict[str, float] = {}
        for way, python in ways:
            sound, *others = (measure(python, way, Path(folder) / "sound") for _ in range(n_rounds))
            least = {name: min(one.get(name, np.nan) for one in (sound, *others)) for name in ("seconds", "processor")}
            floor = floor or least
            poisoned = measure(python, way, Path(folder) / "poisoned")
            lost = f"{sound['kept'] - poisoned['kept']:,}" if "kept" in poisoned else f"all: {poisoned['end']}"
            times = [f"{least[name]:.1f} | {least[name] / floor[name]:.2f}" for name in least]
            kept = f"{sound['kept']:,}" if "kept" in sound else f"none: {sound['end']}"
            print(f"| {way} | {' | '.join(times)} | {kept} | {lost} |", flush=True)


def measure(python: str, way: str, folder: Path) -> dict[str, object]:
    """What its own process says, with the seconds of the processor; or how it ended."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans of a way become children, whose time is counted
    command = [python, "-m", "benchmarks.curation_runner", "--way", way, "--folder", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    except subprocess.TimeoutExpired:
        return {"end": "no end after 400 s"}
    finally:
        wait_for_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"end": f"the job ends with {done.returncode}"}
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "processor": spent}


def wait_for_orphans() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def write_pools(folder: Path, n_rows: int) -> None:
    """Two pools that differ in one text, whose row the cut rejects."""
    for name in ("sound", "poisoned"):
        (folder / name / "pool").mkdir(parents=True)
    for i in range(N_FILES):
        ids = [f"{n:09d}" for n in range(i * n_rows // N_FILES, (i + 1) * n_rows // N_FILES)]
        texts = [f"product {row_id}" for row_id in ids]
        if i == N_FILES // 2:
            first = int(np.flatnonzero(score(texts) < CUT)[0])
        rows = {"id": ids, "domain": ["page"] * len(ids), "frames": [f"{row_id}.jpg" for row_id in ids]}
        for name in ("sound", "poisoned"):
            if name == "poisoned" and i == N_FILES // 2:
                texts = [*texts[:first], POISON, *texts[first + 1 :]]
            pq.write_table(pa.table(rows | {"text": texts}), folder / name / "pool" / f"{i:05d}.parquet")


def run(way: str, folder: Path) -> int:
    """Do the job; rows that were kept."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    if way.startswith("plain"):
        return run_plain(folder / "pool", out, others="alone" not in way)
    if way.startswith("rope"):
        return run_ours(folder, int(way.split()[-2]))
    if way.startswith("datatrove"):
        run_datatrove(folder / "pool", out, int(way.split()[-2]))
    else:
        (run_daft if way.startswith("daft") else run_ray_data)(folder / "pool", out, tolerant="=" in way)
    return sum(pq.read_metadata(path).num_rows for path in out.rglob("*.parquet"))


def run_plain(pool: Path, out: Path, *, others: bool) -> int:
    """One process, file by file, batch by batch; with the rows that are not kept, or without."""
    out.mkdir()
    n_kept = 0
    for path in sorted(pool.iterdir()):
        outcomes = [keep(batch, NoOptions()) for batch in pq.ParquetFile(path).iter_batches(BATCH)]
        table = pa.Table.from_batches([outcome.kept for outcome in outcomes])
        pq.write_table(table, out / path.name, compression="zstd")
        if others:
            rejects = pa.Table.from_batches([outcome.rejects for outcome in outcomes])
            pq.write_table(rejects, out / f"rejects-{path.name}", compression="zstd")
        n_kept += table.num_rows
    return n_kept


def run_ours(folder: Path, workers: int) -> int:
    from rope.curation.pipeline.engine_local import local_engine
    from rope.curation.pipeline.recipe import read_recipe
    from rope.curation.pipeline.runner import run_recipe

    shutil.rmtree(folder / "work", ignore_errors=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'work = "work"\n[pool]\npath = "pool"\nshard_rows = 50000\n[limits]\nbatch_rows = {BATCH}\n'
        '[[stage]]\nuse = "benchmarks.curation_runner:KEEP"\n'
    )
    done = run_recipe(read_recipe(recipe), lambda needs_gpu: local_engine(workers), progress=False)
    return sum(part.kept.rows for manifest in done["keep"] for part in manifest.parts)


def run_daft(pool: Path, out: Path, *, tolerant: bool) -> None:
    import daft

    @daft.func.batch(return_dtype=daft.DataType.float64(), **({"on_error": "ignore"} if tolerant else {}))
    def scored(texts: daft.Series) -> np.ndarray:
        return score(texts.to_pylist())

    frame = daft.read_parquet(f"{pool}/*.parquet").with_column("similarity", scored(daft.col("text")))
    frame.where(daft.col("similarity") >= CUT).write_parquet(str(out))


def run_ray_data(pool: Path, out: Path, *, tolerant: bool) -> None:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    if tolerant:
        ray.data.DataContext.get_current().max_errored_blocks = -1

    def scored(batch: pa.Table) -> pa.Table:
        values = pa.array(score(batch["text"].to_pylist()), pa.float64())
        return batch.append_column("similarity", values).filter(pc.greater_equal(values, CUT))

    rows = ray.data.read_parquet(str(pool)).map_batches(scored, batch_format="pyarrow", batch_size=BATCH)
    rows.write_parquet(str(out))


def run_datatrove(pool: Path, out: Path, workers: int) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters.base_filter import BaseFilter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    class Keep(BaseFilter):
        name = "keep"

        def filter(self, doc: object) -> bool:
            return self.filter_batch([doc])[0]

        def filter_batch(self, batch: list) -> list[bool]:
            values = score([doc.text for doc in batch])
            for doc, value in zip(batch, values.tolist(), strict=True):
                doc.metadata["similarity"] = value
            return (values >= CUT).tolist()

    steps = [
        ParquetReader(str(pool), batch_size=BATCH, file_progress=False),
        Keep(batch_size=BATCH),
        ParquetWriter(str(out), compression="zstd"),
    ]
    logs = out.with_name("logs")
    shutil.rmtree(logs, ignore_errors=True)
    LocalPipelineExecutor(steps, tasks=N_FILES, workers=workers, logging_dir=str(logs)).run()


if __name__ == "__main__":
    main()
