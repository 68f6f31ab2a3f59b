"""Several models in one run, and one model in several processes."""

import csv
import json
import sys
import time

import pytest

from rope.bench.io.readers import read_embeddings
from rope.bench.running.spawn import read_gpus, run_shares
from rope.errors import RopeError, UsageError
from tests.bench.running.test_run import write_dataset

MODELS = """
import numpy as np
from pathlib import Path


class Mine:
    def __init__(self, name="mine", dim="4", fail="no"):
        self.name, self.fingerprint, self.dim, self.fail = name, name + dim, int(dim), fail

    def embed(self, samples):
        if self.fail == "yes" and samples[0].domain == "live":
            raise ValueError("no live today")
        return np.array([[int(s.sample_id) + 1] + [1 + i for i in range(self.dim - 1)] for s in samples], np.float32)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a dataset and a module of models."""
    write_dataset(tmp_path / "data", counts={"page": 40, "video": 24, "live": 20})
    (tmp_path / "several_models.py").write_text(MODELS, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_several_models_get_a_file_and_a_result_each(place, rope_bench):
    specs = ["several_models:Mine?name=one", "several_models:Mine?name=org/two&dim=6"]
    words = [word for spec in specs for word in ("--model", spec)]
    code, _, err = rope_bench(
        "run", *words, "--data", "data", "--out", "vectors", "--json", "r.json", "--dims", "3,full"
    )
    assert code == 0, err
    assert sorted(path.name for path in (place / "vectors").iterdir()) == ["one.parquet", "org-two.parquet"]
    names = {name: json.loads((place / f"{name}.json").read_text())["model"] for name in (
        "one.r.3", "one.r.full", "org-two.r.3", "org-two.r.full")}  # fmt: skip
    assert set(names.values()) == {"one@3", "one", "org/two@3", "org/two"}
    assert read_embeddings([place / "vectors/org-two.parquet"])["page"].vectors.shape == (40, 6)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "e.parquet"], "several models need a folder"),
        (["--out", "v", "--json", "-"], "several models give several"),
        (["--out", "v", "--gpus", "0", "--processes", "2"], "each divides the work"),
    ],
)
def test_options_that_contradict_several_models_are_refused(words, expected, place, rope_bench):
    models = ["--model", "several_models:Mine?name=a", "--model", "several_models:Mine?name=b"]
    code, _, err = rope_bench("run", *models, "--data", "data", *words)
    assert (code, expected in err) == (2, True)


def test_two_models_of_one_name_are_refused(place, rope_bench):
    models = ["--model", "several_models:Mine?name=a", "--model", "several_models:Mine?name=a&dim=5"]
    code, _, err = rope_bench("run", *models, "--data", "data", "--out", "v")
    assert (code, "two models are called" in err) == (2, True)


def test_several_datasets_get_a_folder_each_and_one_table(place, rope_bench):
    write_dataset(place / "other", counts={"page": 30, "video": 30}, fingerprint="d1")
    manifest = place / "other" / "rope.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": "other shop"}))
    words = ["--model", "several_models:Mine?name=a", "--model", "several_models:Mine?name=b&dim=6"]
    code, out, err = rope_bench(
        "run", *words, "--data", "data", "--data", "other", "--out", "vectors", "--json", "r.json"
    )
    assert code == 0, err
    files = sorted(str(path.relative_to(place / "vectors")) for path in (place / "vectors").rglob("*.parquet"))
    assert [file.split("/")[-1] for file in files] == ["a.parquet", "b.parquet"] * 2
    first, second = (file.split("/")[0] for file in files[::2])
    assert "other-shop" in (first, second)
    results = [json.loads((place / f"{name}.{model}.r.json").read_text()) for name in (first, second) for model in "ab"]
    table = out[out.rindex("Mean R@1 of the cross-domain pairs") :]
    for result in results:
        (row,) = (
            line for line in table.splitlines() if result["dataset"]["name"] in line and f" {result['model']} " in line
        )
        low, high = result["headline"]["ci95"]
        assert f"{100 * result['headline']['value']:.2f}" in row
        assert f"{100 * low:.2f} - {100 * high:.2f}" in row
    again = ["run", *words, "--data", "data", "--data", "other", "--out", "vectors", "--csv", "all.csv"]
    code, _, err = rope_bench(*again)
    with (place / "all.csv").open(encoding="utf-8") as file:
        found = {(row["dataset"], row["model"]) for row in csv.DictReader(file)}
    assert found == {(result["dataset"]["name"], result["model"]) for result in results}
    assert (code, "84 vectors kept, 0 embedded" in err, "60 vectors kept, 0 embedded" in err) == (0, True, True)


def test_two_datasets_of_one_name_are_refused(place, rope_bench):
    words = ["--model", "several_models:Mine", "--data", "data", "--data", "data", "--out", "v"]
    code, _, err = rope_bench("run", *words)
    assert (code, "two datasets are called" in err) == (2, True)
    assert not (place / "v").exists()


def test_several_datasets_need_a_folder(place, rope_bench):
    words = ["--model", "several_models:Mine", "--data", "data", "--data", "other", "--out", "v.parquet"]
    code, _, err = rope_bench("run", *words)
    assert (code, "several datasets need a folder" in err) == (2, True)


def test_processes_write_the_bytes_of_one(place, rope_bench):
    words = ["--model", "several_models:Mine", "--data", "data", "--batch-size", 2]
    assert rope_bench("run", *words, "--out", "one.parquet")[0] == 0
    code, _, err = rope_bench("run", *words, "--out", "two.parquet", "--processes", 2)
    assert code == 0, err
    assert "84 vectors kept, 0 embedded" in err
    assert (place / "two.parquet").read_bytes() == (place / "one.parquet").read_bytes()
    assert not (place / "two.parquet.parts").exists()
    code, _, err = rope_bench(
        "run", *words, "--out", "two.parquet", "--processes", 2, "--overwrite", "--model", "several_models:Mine?dim=5"
    )
    assert (code, "several models need a folder" in err) == (2, True)
    other = ["--model", "several_models:Mine?dim=5", *words[2:], "--out", "two.parquet", "--processes", 2]
    assert rope_bench("run", *other)[0] == 2
    code, _, err = rope_bench("run", *other, "--overwrite")
    assert code == 0, err
    assert read_embeddings([place / "two.parquet"])["page"].vectors.shape == (40, 5)


def test_a_process_that_fails_ends_the_run_with_its_words(place, rope_bench):
    words = ["--model", "several_models:Mine?fail=yes", "--data", "data", "--batch-size", 2, "--no-check"]
    code, _, err = rope_bench("run", *words, "--out", "e.parquet", "--processes", 2)
    assert code == 1
    assert "failed:" in err
    assert "no live today" in err


def test_a_failure_ends_the_other_processes_at_once():
    program = "import sys, time; sys.exit(3) if sys.argv[-1] == '0/2' else time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(RopeError, match="share 0/2 failed: it said nothing"):
        run_shares([sys.executable, "-c", program], [{}, {}], lambda: 0, lambda n: None)
    assert time.monotonic() - start < 30


def test_gpus_are_named_as_cuda_names_them(monkeypatch):
    assert read_gpus("0, 2") == ["0", "2"]
    for wrong in ("", "0,0", "0,"):
        with pytest.raises(UsageError, match="expected all, or numbers"):
            read_gpus(wrong)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert read_gpus("all") == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert read_gpus("all") == ["5", "7"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="torch sees no GPU"):
        read_gpus("all")
