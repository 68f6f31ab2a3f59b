"""The whole way as docs/curation.md and docs/curation-annotation.md tell it: addresses of media in a store, the work in
another bucket, people who err, their answers, a review of the merge, an audit, a dataset, and a score on it."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import rope
from rope.bench.cli import main as bench
from rope.curation.annotation.batches import read_batches
from rope.curation.annotation.ledger import read_ledger
from rope.curation.review import ReviewServer
from tests.curation.pools import write_planted
from tests.curation.studio import InFiles, InLabelStudio, label_studio, needs_label_studio

RECIPE = """
name = "shop"
work = "{bucket}/work"
[pool]
path = "{bucket}/pool"
[[stage]]
use = "download"
folder = "media"
private_hosts = ["127.0.0.1"]
[[stage]]
use = "decode"
[[stage]]
use = "quality"
[[stage]]
use = "filter"
column = "brightness"
minimum = 0.02
[[stage]]
use = "sample"
seed = 0
rate = 1.0
[[stage]]
use = "answers"
labels = "answered.parquet"
different = "reject"
[[stage]]
use = "merge"
copies = false
[[stage]]
use = "split"
n_validation = 4
seed = 0
"""
TEAM = "ann,bob"
ALL = "ann,bob,cat"


@pytest.fixture
def store(bucket, tmp_path):
    """A pool in a bucket whose cells are web addresses of pictures in it; row -> its true product."""
    at = f"{bucket}/{tmp_path.name}"
    web = f"{os.environ['AWS_ENDPOINT_URL']}/{at.removeprefix('s3://')}/pictures/"
    (tmp_path / "source").mkdir()
    truth = write_planted(tmp_path / "source", 16, 4, web)
    black = tmp_path / "source" / "v05-1.png"
    Image.new("RGB", (24, 24)).save(black)
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    for path in (tmp_path / "source").glob("*.png"):
        if path.stem != "v06-1":  # whose address leads nowhere
            s3.pipe_file(f"{at}/pictures/{path.name}", path.read_bytes(), ACL="public-read")
    s3.put(str(tmp_path / "source" / "pool.parquet"), f"{at}/pool/pool.parquet")
    (tmp_path / "shop.toml").write_text(RECIPE.format(bucket=at))
    return truth


@pytest.fixture
def step(curate, tmp_path, monkeypatch):
    """Runs `rope curate` beside the recipe; returns what it wrote.

    `run` has a process of its own: its workers take the address of the store from the environment.
    """
    monkeypatch.chdir(tmp_path)

    def run(command, *arguments):
        if command == "run":
            words = [sys.executable, "-c", "from rope.cli import main; main()", "curate", command, *arguments]
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = curate(command, *arguments)
        assert code == 0, (command, arguments, out, err)
        return out

    return run


def ask(step, people, truth, folder, *options):
    """Export, have answered and import until nothing is due; the third person gets what the first two leave open."""
    for asked_of in (TEAM, ALL, ALL, ALL):
        step("annotate", "export", "shop.toml", "--in", folder, "--people", asked_of, *options)
        n_new = 0
        for batch in sorted(path.parent for path in folder.glob("*/label-studio.json")):
            export = folder.parent / f"{batch.name}.json"
            n_new += people.answer(batch, truth, export)
            users = ",".join(f"{number}={name}" for name, number in people.numbers.items())
            step("annotate", "import", export, "--in", folder, "--annotators", users)
        if not n_new:
            return
        if asked_of == TEAM:  # who was silent is reminded
            for batch in sorted(path.parent for path in folder.glob("*/label-studio.json")):
                people.answer(batch, truth, folder.parent / f"{batch.name}.json")
                step("annotate", "import", folder.parent / f"{batch.name}.json", "--in", folder, "--annotators", users)


def review_as(truth, monkeypatch):
    """Have every pair of a review answered as it is, on its page."""
    serve = ReviewServer.serve_forever

    def answer_all(server):
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        page = urllib.request.urlopen(server.address, timeout=10).read().decode()
        for task, item in re.findall(r'<article class="pair" id="(\w+)".*?aria-label="pair ([^",]+)', page):
            left, right = item.split("|")
            value = "same" if truth[left] == truth[right] else "different"
            fields = {"task": task, "answer": value, "secret": server.secret}
            urllib.request.urlopen(f"{server.address}answer", urllib.parse.urlencode(fields).encode(), timeout=10)
        server.shutdown()
        raise KeyboardInterrupt

    monkeypatch.setattr(ReviewServer, "serve_forever", answer_all)


def walk(step, truth, people, tmp_path, monkeypatch):
    loop, audit = tmp_path / "loop", tmp_path / "audit"
    said = step("run", "shop.toml", "--workers", 1, "--until", "sample")
    assert "rejected: low_brightness" in said
    assert "http_status" in step("why", "shop.toml", "v06-1")
    ask(step, people, truth, loop, "--overlap", 1)
    said = step("annotate", "labels", "--in", loop, "--out", "answered.parquet")
    assert int(re.search(r"(\d+) open", said)[1]) <= 2
    labels = {row["item_id"]: row["label"] for row in pq.read_table("answered.parquet").to_pylist()}
    step("run", "shop.toml", "--workers", 1)
    review_as(truth, monkeypatch)
    step("review", "shop.toml", "--in", loop, "--annotator", "ann", "--below", 1.01, "--out", "answered.parquet")
    step("review", "shop.toml", "--in", loop, "--annotator", "bob", "--below", 1.01, "--out", "answered.parquet")
    asked = {t.item.item_id: t.item.task_id for b in read_batches(loop) for t in b.tasks if b.question == "merge"}
    assert set(asked) == {"p00|p01", "p02|p03"}
    who = {one.annotator for one in read_ledger(loop / "ledger") if one.task_id in asked.values()}
    assert who == {"ann", "bob"}
    step("run", "shop.toml", "--workers", 1)
    ask(step, people, truth, audit, "--question", "precision")
    found = step("precision", "shop.toml", "--in", audit)
    step("publish", "shop.toml", "--out", "out", "--audit", audit)
    return labels, found


def check(truth, labels, found, capsys, monkeypatch):
    """What is published is what the answers say, and the stated precision holds the true one."""
    rows = {
        row["sample_id"]: row["product_id"]
        for name in ("pages", "videos", "lives")
        for split in rope.load_dataset("out", name).values()
        for row in split.remove_columns("frames")
    }
    assert not {"v05-1", "v06-1"} & set(rows)
    assert {item.split("|")[1] for item, label in labels.items() if label == "different"}.isdisjoint(rows)
    assert rows["p00"] == rows["p01"]
    assert rows["p02"] != rows["p03"]
    pages: dict[str, str] = {}
    for name in sorted(rows):
        pages.setdefault(rows[name], name)
    clips = [name for name in rows if name != pages[rows[name]]]
    true = np.mean([truth[name] == truth[pages[rows[name]]] for name in clips])
    stated = json.loads(Path("out/curation.json").read_text("utf-8"))["precision"]
    assert true > 0.95
    assert stated["low"] <= true <= stated["high"]
    assert (stated["n_claims"], stated["is_judged"]) == (len(clips), True)
    assert found.strip()[1:] in Path("out/README.md").read_text("utf-8")
    arrays = {}
    for domain, name in (("page", "pages"), ("video", "videos"), ("live", "lives")):
        shown = rope.load_dataset("out", name, split="validation")
        arrays[f"{domain}_ids"] = np.array([row["sample_id"] for row in shown])
        arrays[domain] = np.array([np.asarray(row["frames"][0]).mean(axis=(0, 1)) for row in shown], "float32")
    np.savez("colours.npz", **arrays)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["rope-bench", "score", "colours.npz", "--data", "out", "--json", "score.json"])
    with pytest.raises(SystemExit) as ended:
        bench()
    assert not ended.value.code, capsys.readouterr()
    assert "P2V" in capsys.readouterr().out


@pytest.mark.slow
def test_from_addresses_of_media_to_a_score(store, step, capsys, tmp_path, monkeypatch):
    labels, found = walk(step, store, InFiles("ann", "bob", "cat"), tmp_path, monkeypatch)
    check(store, labels, found, capsys, monkeypatch)


@pytest.mark.slow
@needs_label_studio
def test_from_addresses_of_media_to_a_score_with_a_real_server_of_label_studio(
    store, step, capsys, tmp_path, monkeypatch
):
    with label_studio(tmp_path, ("ann", "bob", "cat")) as (boss, users):
        labels, found = walk(step, store, InLabelStudio(boss, users), tmp_path, monkeypatch)
    check(store, labels, found, capsys, monkeypatch)
