"""The snippets of docs/python.md and the notebook run as they stand."""

import json
import re
from pathlib import Path

import numpy as np

from rope.bench.io.readers import read_embeddings
from tests.notebooks import EXAMPLES, code_cells, run_cells, text_of

ROOT = Path(__file__).parents[2]
NOTEBOOK = EXAMPLES / "score_your_vectors.ipynb"


def test_the_snippets_of_the_page_run_one_after_another(dataset, embeddings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(dataset)
    rng = np.random.default_rng(0)
    given = {
        domain: (rows.sample_ids, rng.normal(size=(12, 4))) for domain, rows in read_embeddings([embeddings]).items()
    }
    names = {
        "embeddings": given,
        "embeddings_of_another": {domain: (ids, vectors + 1) for domain, (ids, vectors) in given.items()},
        "embed": lambda samples: rng.normal(size=(len(samples), 4)),
    }
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for snippet in snippets:
        exec(compile(snippet, "docs/python.md", "exec"), names)
    assert [*names["evaluator"].history] == [2, 4]
    assert {path.name for path in tmp_path.iterdir()} >= {"result.json", "result.ranks.parquet", "doctor.html"}
    out = capsys.readouterr().out
    assert "mean R@1 of the six cross-domain pairs" in out
    assert "Differences, in percentage points" in out


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    shown = [text_of(outputs) for outputs in run_cells(code_cells(NOTEBOOK.name))]
    assert len(shown) == 10
    assert "mean R@1 of the six cross-domain pairs" in shown[3]
    assert "Differences" in shown[5]
    assert "product size" in shown[6]
    assert (tmp_path / "histogram.ranks.parquet").is_file()


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)
    assert len({cell["id"] for cell in cells}) == len(cells)
