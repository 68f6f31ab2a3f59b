"""docs/models.md says what is there."""

import re
from pathlib import Path

import pytest

import baselines
from baselines.options import EmbeddingOptions
from rope.bench.running.embedder import load_embedder
from tests.baselines.samples import samples

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")


def test_the_example_is_an_embedder(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    (spec,) = re.findall(r"--model '(.*?)'", PAGE)
    (tmp_path / "my_model.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    model = load_embedder(spec)
    assert model.embed(samples("video", 3, n_frames=5)).shape == (3, 3)
    assert model.frames == 4


@pytest.mark.parametrize("name", [name for name in baselines.__all__ if name != "learn"])
def test_every_baseline_is_in_the_table(name):
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", EmbeddingOptions.__dataclass_fields__)
def test_every_shared_option_is_in_the_table_with_its_default(name):
    (row,) = re.findall(rf"^\| `{name}` \| `?(.*?)`? \|", PAGE, re.MULTILINE)
    default = getattr(EmbeddingOptions(), name)
    assert row == ("all" if default is None else str(default))
