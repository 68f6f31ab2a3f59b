"""The notebooks that are kept with what they show, run again."""

import json
from pathlib import Path

import pytest

from tests.notebooks import EXAMPLES, WITH_OUTPUTS, run_cells, text_of

SAYS = {
    "run_your_model.ipynb": [
        "mean R@1 of the six cross-domain pairs",
        "<td>handcrafted</td>",
        "Slices of V2P",
        "finds its page at rank",
    ],
    "curate_a_pool.ipynb": [
        "rows with the columns id, domain, text, frames, category",
        "unreadable_image",
        "decode rejected unreadable_image",
        "'validation': {'pages'",
    ],
}
"""What each must say, in order, both as it is kept and when it is run."""


def cells_of(name):
    return [cell for cell in json.loads((EXAMPLES / name).read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def assert_says(name, outputs):
    said = "".join(text_of(one) for one in outputs)
    found = [said.find(text) for text in SAYS[name]]
    assert -1 not in found, said
    assert found == sorted(found)


@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_a_notebook_runs_and_shows_what_is_kept(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    cells = cells_of(name)
    outputs = run_cells(["".join(cell["source"]) for cell in cells])
    kept = [cell["outputs"] for cell in cells]
    assert [[kind_of(one) for one in shown] for shown in outputs] == [[kind_of(one) for one in shown] for shown in kept]
    assert_says(name, outputs)
    assert_says(name, kept)


def kind_of(output):
    return output["output_type"], *sorted(output.get("data", {}))


@pytest.mark.parametrize("name", WITH_OUTPUTS)
def test_a_notebook_names_no_folder_of_the_machine_that_ran_it(name):
    text = (EXAMPLES / name).read_text("utf-8")
    assert not any(folder in text for folder in ("/tmp/", "/home/", "/root/", f"{Path.home()}/"))


def test_every_notebook_is_run():
    others = {"score_your_vectors.ipynb"}  # in tests/bench/test_python_page.py
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == others | set(WITH_OUTPUTS)
