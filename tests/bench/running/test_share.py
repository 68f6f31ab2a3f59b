"""Runs of several processes, and of many samples that are stopped in the middle."""

import signal
import subprocess
import sys
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest

from rope.bench.running.run import run_embedder
from rope.bench.running.share import RunShare, parse_share
from rope.errors import EmbeddingError, UsageError
from tests.bench.running.test_run import BATCH, Model, run, write_dataset

COUNTS = {"page": 70, "video": 33, "live": 17}
MANY = {"page": 5000, "video": 3000, "live": 2000}

LOGGING = """
import os, sys
from pathlib import Path
import numpy as np
from rope.bench.running.run import run_embedder
from rope.bench.running.share import parse_share
from rope.domain import DOMAINS

class Model:
    name, fingerprint = "model", "weights-1"

    def embed(self, samples):
        lines = "".join(f"{s.domain} {s.sample_id}\\n" for s in samples)
        os.write(log, lines.encode())
        return np.array([[int(s.sample_id), DOMAINS.index(s.domain), 1] for s in samples], np.float64)

data, size, share, name = sys.argv[1:]
log = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
part = None if share == "all" else parse_share(share)
run_embedder(Model(), Path(data), Path("e.parquet"), batch_size=int(size), share=part, check=False)
"""


def start(data, folder, batch_size, share, log):
    arguments = [sys.executable, "-c", LOGGING, data, batch_size, share, log]
    return subprocess.Popen([str(argument) for argument in arguments], cwd=folder)


def logged(path):
    return path.read_text().splitlines()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), counts=COUNTS)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return run(Model(), data, tmp_path_factory.mktemp("whole") / "e.parquet").read_bytes()


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shares_are_joined_to_the_bytes_of_one_process(world, data, whole, tmp_path):
    models = [Model() for _ in range(world)]
    for rank, model in enumerate(models):
        run(model, data, tmp_path / "e.parquet", share=RunShare(rank, world))
        assert not (tmp_path / "e.parquet").exists()
    last = Model()
    assert run(last, data, tmp_path / "e.parquet").read_bytes() == whole
    seen = Counter((domain, i) for model in models for domain, ids in model.seen for i in ids)
    assert last.seen == []
    assert set(seen.values()) == {1}
    assert seen.total() == sum(COUNTS.values())
    assert [path.name for path in tmp_path.iterdir()] == ["e.parquet"]


def test_two_processes_at_once_write_the_bytes_of_one(data, whole, tmp_path):
    processes = [start(data, tmp_path, BATCH, f"{rank}/2", f"log{rank}") for rank in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    last = Model()
    assert run(last, data, tmp_path / "e.parquet").read_bytes() == whole
    assert not last.seen
    first, second = (set(logged(tmp_path / f"log{rank}")) for rank in range(2))
    assert len(first) + len(second) == len(first | second) == sum(COUNTS.values())


def test_what_a_stopped_share_left_is_embedded_by_the_join(data, whole, tmp_path):
    out = tmp_path / "e.parquet"
    run(Model(), data, out, share=RunShare(1, 2))
    with pytest.raises(KeyboardInterrupt):
        run(Model(stop_after=9), data, out, share=RunShare(0, 2))
    assert run(Model(), data, out).read_bytes() == whole


def test_a_finished_file_needs_no_share(data, whole, tmp_path):
    (tmp_path / "e.parquet").write_bytes(whole)
    assert run(Model(stop_after=0), data, tmp_path / "e.parquet", share=RunShare(0, 2)).read_bytes() == whole


def test_shares_of_different_models_do_not_mix(data, tmp_path):
    out = tmp_path / "e.parquet"
    run(Model(), data, out, share=RunShare(0, 2))
    with pytest.raises(UsageError, match="embedder_fingerprint is 'weights-1' there and 'weights-2' now"):
        run(Model(fingerprint="weights-2"), data, out, share=RunShare(1, 2))


def test_a_part_of_another_model_that_came_in_by_a_race_is_not_joined(data, tmp_path):
    for name, model in (("a", Model()), ("b", Model(fingerprint="weights-2"))):
        run(model, data, tmp_path / name, share=RunShare("ab".index(name), 2))
    for path in (tmp_path / "b.parts").glob("*.parquet"):
        path.rename(tmp_path / "a.parts" / path.name)
    with pytest.raises(UsageError, match=r"belongs to another run: embedder_fingerprint is 'weights-2' there"):
        run(Model(), data, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_shares_of_different_dimensions_are_not_joined(data, tmp_path):
    class Wider(Model):
        def embed(self, samples):
            return super().embed(samples).repeat(2, axis=1)

    run(Model(), data, tmp_path / "a", share=RunShare(0, 2))
    run(Wider(), data, tmp_path / "b", share=RunShare(1, 2))
    for path in (tmp_path / "b.parts").glob("*.parquet"):
        path.rename(tmp_path / "a.parts" / path.name)
    with pytest.raises(EmbeddingError, match=r"\[6\], expected .*\[3\] as in page-000000"):
        run(Model(), data, tmp_path / "a")


def test_ten_thousand_samples_killed_in_the_middle_repeat_one_part_at_most(tmp_path):
    data, size = write_dataset(tmp_path / "data", counts=MANY), 8
    process = start(data, tmp_path, size, "all", "log")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("e.parquet.parts/video-*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name for path in tmp_path.glob("e.parquet.parts/*.parquet")}
    before = logged(tmp_path / "log")
    assert 5000 < len(before) < 10_000
    assert start(data, tmp_path, size, "all", "log").wait(60) == 0
    times = Counter(logged(tmp_path / "log"))
    assert len(times) == 10_000
    repeated = [line.split() for line, n in times.items() if n > 1]
    parts = {f"{domain}-{int(i) // (8 * size):06d}.parquet" for domain, i in repeated}
    assert max(times.values()) <= 2
    assert len(parts) <= 1
    assert not parts & finished
    alone = run(Model(), data, tmp_path / "alone.parquet", batch_size=size)
    assert (tmp_path / "e.parquet").read_bytes() == alone.read_bytes()
    assert pq.read_metadata(alone).num_rows == 10_000


def test_another_preprocessing_is_another_run(data, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    from baselines.fusion import FusedEmbedder, PooledImages
    from baselines.options import EmbeddingOptions
    from tests.baselines.test_fusion import Colours

    def colours(**options):
        given = EmbeddingOptions(device="cpu", **options)
        return FusedEmbedder("colours", PooledImages(Colours(), given.pool), given)

    run(colours(frames=3), data, tmp_path / "e.parquet", share=RunShare(0, 2))
    with pytest.raises(UsageError, match="embedder_fingerprint is"):
        run_embedder(colours(frames=4), data, tmp_path / "e.parquet", batch_size=BATCH, progress=False)


@pytest.mark.parametrize("text", ["", "1", "2/2", "0/0", "-1/2", "0/2/3", "a/b", "0 / 2", "٠/٢"])
def test_another_text_is_no_share(text):
    with pytest.raises(UsageError, match="share"):
        parse_share(text)
