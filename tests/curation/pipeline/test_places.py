"""Pools and folders of work at addresses of fsspec: in memory, and on a local server of S3."""

import functools
import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.pipeline.accounting import audit, trace
from rope.curation.pipeline.recipe import read_recipe
from rope.curation.pipeline.runner import finished_stages, run_recipe, stage_states
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from rope.dataset.locate import as_directory
from rope.errors import DatasetError, UsageError
from rope.files import atomic_path
from tests.curation.pools import HALF, POISON, local, write_rows
from tests.stores import wait_for_files

STAGES = (POISON + 'rejects = ["r03", "r04"]', HALF + "parts = 2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))


class Here:
    """An engine without workers: what is in memory can be seen by no other process. It may end after some tasks."""

    slots = 1

    def __init__(self, n_tasks=10**9):
        self.n_tasks, self.ended = n_tasks, []

    def submit(self, task):
        self.n_tasks -= 1
        if self.n_tasks < 0:
            raise KeyboardInterrupt
        execute(task)
        self.ended.append(Ended(task, "done"))

    def wait(self):
        ended, self.ended = self.ended, []
        return ended


def here(n_tasks=10**9):
    @contextmanager
    def opened(needs_gpu):
        yield Here(n_tasks)

    return opened


def recipe_at(folder, pool, work, *stages, shard_rows=8):
    head = f'work = "{work}"\n[pool]\npath = "{pool}"\nshard_rows = {shard_rows}\n[limits]\nbatch_rows = 4\n'
    path = folder / "remote.toml"
    path.write_text(head + "\n".join(f"[[stage]]\n{stage}" for stage in stages))
    return read_recipe(path)


def shards_of(place):
    """Every file of the stages, by its name."""
    stages = place / "stages"
    return {f"{stage.name}/{file.name}": file.read_bytes() for stage in stages.iterdir() for file in stage.iterdir()}


@pytest.fixture
def pool(tmp_path):
    """A pool on this machine, and the same in memory."""
    write_rows(tmp_path / "pool.parquet", [f"r{i:02d}" for i in range(24)])
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe_file("/b/pool.parquet", (tmp_path / "pool.parquet").read_bytes())
    return tmp_path / "pool.parquet"


def test_a_folder_of_work_in_memory_holds_the_bytes_of_one_on_disk(pool, tmp_path):
    on_disk = recipe_at(tmp_path, pool, tmp_path / "work", *STAGES)
    run_recipe(on_disk, local(1), progress=False)
    recipe = recipe_at(tmp_path, pool, "memory://b/work", *STAGES)
    run_recipe(recipe, here(), progress=False)
    assert shards_of(recipe.work) == shards_of(on_disk.work)
    assert not (tmp_path / "memory:").exists()
    assert audit(recipe).problems == ()
    assert [step.fate for step in trace(recipe, "r03")] == ["kept", "rejected"]


@pytest.mark.parametrize("n_tasks", range(7))
def test_a_run_that_ends_anywhere_goes_on_to_the_same_bytes(n_tasks, pool, tmp_path):
    whole = recipe_at(tmp_path, pool, "memory://b/whole", *STAGES)
    run_recipe(whole, here(), progress=False)
    recipe = recipe_at(tmp_path, pool, "memory://b/work", *STAGES)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, here(n_tasks), progress=False)
    run_recipe(recipe, here(), progress=False)
    assert shards_of(recipe.work) == shards_of(whole.work)


@pytest.mark.parametrize("damage", ["torn", "flipped", "gone", "torn manifest"])
def test_half_an_upload_is_noticed_and_made_again(damage, pool, tmp_path):
    recipe = recipe_at(tmp_path, pool, "memory://b/work", *STAGES)
    run_recipe(recipe, here(), progress=False)
    before = shards_of(recipe.work)
    files = sorted((recipe.work / "stages" / "half").iterdir(), key=str)
    path = next(file for file in files if file.suffix == (".json" if damage == "torn manifest" else ".parquet"))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:40] + (bytes([content[40] ^ 1]) + content[41:] if damage == "flipped" else b""))
    run_recipe(recipe, here(), progress=False)
    assert shards_of(recipe.work) == before


def test_a_pool_elsewhere_gives_the_rows_of_one_on_disk(pool, tmp_path):
    recipe = recipe_at(tmp_path, "memory://b", "memory://b/work", *STAGES)
    run_recipe(recipe, here(), progress=False)
    assert {state.state for state in stage_states(recipe)} == {"done"}
    (folder, manifest), *_ = finished_stages(recipe)["pool"]
    frames = pq.read_table(folder / manifest.parts[0].kept.name)["frames"][0].as_py()
    assert frames == [{"bytes": None, "path": "memory://b/r00.jpg"}]
    fsspec.filesystem("memory").pipe_file("/b/pool.parquet", b"")
    with pytest.raises(UsageError, match="is not Parquet"):
        stage_states(recipe)


def test_media_are_read_where_they_lie(pool, tmp_path):
    stored = io.BytesIO()
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(stored, "PNG")
    for i in range(24):
        if i != 5:
            fsspec.filesystem("memory").pipe_file(f"/b/r{i:02d}.jpg", stored.getvalue())
    recipe = recipe_at(tmp_path, "memory://b", "memory://b/work", 'use = "decode"', 'use = "thumbnail"')
    run_recipe(recipe, here(), progress=False)
    assert [(step.fate, step.detail) for step in trace(recipe, "r05")][1:] == [
        ("rejected", "memory://b/r05.jpg: missing")
    ]
    assert len(audit(recipe).problems) == 0
    assert sum(manifest.rows_in for _, manifest in finished_stages(recipe)["thumbnail"]) == 23


def test_media_on_the_web_are_refused_in_one_sentence_without_a_download(tmp_path):
    write_rows(tmp_path / "pool.parquet", ["https://shop.example/a"])
    recipe = recipe_at(tmp_path, "pool.parquet", "work", 'use = "decode"')
    with pytest.raises(UsageError, match=r"^https://shop.example/a.jpg: is on the web; put a stage download before"):
        run_recipe(recipe, local(1), progress=False)


@pytest.mark.parametrize(
    ("pool", "work", "said"),
    [
        ("pool.parquet", "https://shop.example/work", "cannot be written to; expected a folder, or an address"),
        ("pool.parquet", "nowhere://b/work", "addresses of this kind cannot be read"),
        ("nowhere://b/pool", "work", "addresses of this kind cannot be read"),
        ("hdfs://name/pool", "work", "addresses of this kind cannot be read .*for hdfs:// Java and Hadoop$"),
    ],
)
def test_a_place_that_cannot_be_is_refused_in_one_sentence(pool, work, said, tmp_path):
    with pytest.raises(UsageError, match=said) as refused:
        recipe_at(tmp_path, pool, work, POISON)
    assert "\n" not in str(refused.value)


@contextmanager
def web_server(folder):
    """The address of a web server that gives out the files of a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_pool_on_the_web_gives_the_rows_of_one_on_disk(pool, tmp_path):
    on_disk = recipe_at(tmp_path, pool, "here", *STAGES)
    run_recipe(on_disk, here(), progress=False)
    with web_server(tmp_path) as address:
        recipe = recipe_at(tmp_path, f"{address}/pool.parquet", "work", *STAGES)
        run_recipe(recipe, here(), progress=False)
        assert {state.state for state in stage_states(recipe)} == {"done"}
        found = [pq.read_table(sorted((one.work / "stages/half").glob("*.kept.parquet"))) for one in (recipe, on_disk)]
        assert found[0].drop(["frames"]) == found[1].drop(["frames"])
        assert found[0]["frames"][0].as_py() == [{"bytes": None, "path": f"{address}/{found[0]['id'][0]}.jpg"}]
        (tmp_path / "pool.parquet").unlink()
        with pytest.raises(UsageError, match=r"pool\.parquet: no such file or folder; expected a raw pool"):
            stage_states(recipe)
    with pytest.raises(DatasetError, match=r"pool\.parquet: the store does not do .* \(Client") as refused:
        stage_states(recipe)
    assert "\n" not in str(refused.value)


def test_memory_is_refused_where_other_processes_would_have_to_see_it(pool, tmp_path, curate):
    recipe_at(tmp_path, pool, "memory://b/work", *STAGES)
    code, _, err = curate("run", tmp_path / "remote.toml")
    assert (code, "memory of one process" in err) == (2, True)


def test_an_address_is_never_taken_for_a_path_to_write_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"s3://bucket/a\.txt: is an address"), atomic_path(Path("s3://bucket/a.txt")):
        pass
    with pytest.raises(UsageError, match=r"labels is s3://b/l.parquet; expected a file or folder on this machine"):
        recipe_at(tmp_path, "pool.parquet", "work", 'use = "answers"\nlabels = "s3://b/l.parquet"')
    assert not list(tmp_path.glob("s3*"))


def rope(*arguments):
    """A process of its own: its workers take the address of the server from the environment."""
    command = [sys.executable, "-c", "from rope.cli import main; main()", "curate", *map(str, arguments)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_a_run_on_s3_that_is_killed_goes_on_to_the_bytes_of_a_local_run(bucket, pool, tmp_path):
    fsspec.filesystem("s3", skip_instance_cache=True).put(str(pool), f"{bucket}/pool/pool.parquet")
    gate = tmp_path / "gate"
    gate.touch()
    stages = (f'{STAGES[0]}\ngate = "{gate}"', STAGES[1])
    on_disk = recipe_at(tmp_path, f"{bucket}/pool", tmp_path / "work", *stages, shard_rows=2)
    rope("run", tmp_path / "remote.toml", "--workers", 1).communicate()
    gate.unlink()  # until it is there again, no run ends before it is killed
    recipe = recipe_at(tmp_path, f"{bucket}/pool", f"{bucket}/work", *stages, shard_rows=2)
    place = as_directory(f"{bucket}/work")
    for n_files in (4, 20, 36):
        run = rope("run", tmp_path / "remote.toml", "--workers", 1)
        wait_for_files(place, n_files, run)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    gate.touch()
    run = rope("run", tmp_path / "remote.toml", "--workers", 1)
    told, _ = run.communicate()
    assert run.returncode == 0, told.decode()
    assert shards_of(recipe.work) == shards_of(on_disk.work)
    why = rope("why", tmp_path / "remote.toml", "r03")
    assert b"poison: rejected: unwanted" in why.communicate()[0]
