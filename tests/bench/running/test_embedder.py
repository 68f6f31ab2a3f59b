import subprocess
import sys

import pytest

from rope.bench.running.embedder import find_embedder, load_embedder
from rope.bench.running.source import source_of
from rope.errors import UsageError

MODULE = """
import math

class Model:
    def __init__(self, size="small", scale="1"):
        self.name = f"model-{size}-{scale}"
    def embed(self, samples):
        return None

class Nameless:
    def embed(self, samples):
        return None

def make(size):
    return Model(size)

ready = Model("ready")
number = 3
"""

BY_TEXT = """
class Model:
    def __init__(self, name):
        self.name = name
    def embed(self, samples):
        return None

def embedder(path, size="1"):
    return Model(f"{path}-{size}")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the current folder, which is not on Python's path."""
    sys.modules.pop("my_model", None)  # of a page of the documentation, whose example another test has run
    (tmp_path / "my_model.py").write_text(MODULE)
    (tmp_path / "by_text.py").write_text(BY_TEXT)
    (tmp_path / "broken.py").write_text("import a_module_that_nobody_has")
    (tmp_path / "needs_torch.py").write_text("raise ModuleNotFoundError('not here', name='torch')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "my_model"
    for name in ("my_model", "my_model_", "by_text", "mine", "beside_it", "json_"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("my_model:Model", "model-small-1"),
        ("my_model:Model?size=large&scale=a/b:c?d", "model-large-a/b:c?d"),
        ("my_model:make?size=x", "model-x-1"),
        ("my_model:ready", "model-ready-1"),
        ("by_text:runs/first?size=2", "runs/first-2"),
        ("baselines:handcrafted", "handcrafted"),
    ],
)
def test_an_embedder_is_found_by_name(spec, name, module):
    assert load_embedder(spec).name == name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("my_model", "expected module:object"),
        (":Model", "expected module:object"),
        ("my_model:", "expected module:object"),
        (
            "needs_torch:Model",
            "module 'needs_torch' needs torch, which is not installed: pip install 'rope-bench.torch.'",
        ),
        ("my_modle:Model", "no module 'my_modle' in Python's path or in "),
        ("my_model.part:Model", "no module 'my_model.part'"),
        ("broken:Model", "module 'broken' needs 'a_module_that_nobody_has', which is not installed"),
        ("./gone.py:Model", r"gone\.py: no such file"),
        ("my_model.py", "expected module:object, as in .*mine.py:Model"),
        ("./my_model:Model", r"'./my_model' cannot be the name of a module; of a file, write the ending .py too"),
        ("..my_model:Model", "cannot be the name of a module"),
        ("./my_model.py:Modle", "my_model has no 'Modle'; it has Model, Nameless, make, ready$"),
        ("broken.py:Model", "module 'broken' needs 'a_module_that_nobody_has', which is not installed"),
        ("my_model:Modle", "my_model has no 'Modle'; it has Model, Nameless, make, ready$"),
        ("baselines:nothing", "baselines has no 'nothing'; it has .*handcrafted"),
        ("my_model:math", "math has no 'embedder'"),
        ("my_model:number", "my_model:number gives int, which is not an embedder"),
        ("my_model:Nameless", "my_model:Nameless gives Nameless, which is not an embedder"),
        ("my_model:Model?sise=large", r"options do not fit: .*'sise'; it takes \(size='small', scale='1'\)"),
        ("my_model:make", "options do not fit: missing a required argument: 'size'"),
        ("my_model:ready?size=large", "takes no options; got 'size=large'"),
        ("my_model:Model?large", "expected key=value&key=value"),
        ("my_model:Model?size=a&scale=1&size=b", "the option 'size' is given twice"),
    ],
)
def test_what_is_no_embedder_is_a_usage_error(spec, expected, module):
    with pytest.raises(UsageError, match=expected):
        load_embedder(spec)


@pytest.mark.parametrize("spec", ["./my_model.py:Model", "models/mine.py:Model", "{here}/my_model.py:Model?size=small"])
def test_an_embedder_is_found_in_a_file(spec, module, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.py").write_text("import beside_it\nModel = beside_it.Model")
    (tmp_path / "models" / "beside_it.py").write_text(MODULE)
    assert load_embedder(spec.format(here=tmp_path)).name == "model-small-1"


def test_a_file_whose_name_a_module_has_is_not_taken_for_it(module, tmp_path):
    (tmp_path / "json.py").write_text(MODULE)
    assert load_embedder("./json.py:Model").name == "model-small-1"
    assert "Model" not in vars(sys.modules["json"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "my_model.py").write_text(MODULE.replace("model-{size}", "other-{size}"))
    assert load_embedder("my_model:Model").name == "model-small-1"
    assert load_embedder("other/my_model.py:Model").name == "other-small-1"
    assert load_embedder("./my_model.py:Model").name == "model-small-1"


def test_what_a_model_raises_itself_is_not_hidden(module, tmp_path):
    (tmp_path / "my_model.py").write_text("def make():\n    raise RuntimeError('no weights')")
    with pytest.raises(RuntimeError, match="no weights"):
        load_embedder("my_model:make")


def test_importing_baselines_imports_no_baseline():
    code = "import sys, baselines; print('handcrafted' in dir(baselines), 'numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"


def test_the_current_folder_comes_last_so_that_it_hides_no_installed_module(module, tmp_path):
    load_embedder("my_model:ready")
    assert sys.path[-1] == str(tmp_path)


def test_a_model_in_a_file_is_known_by_its_source(module, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "my_model.py").write_text(MODULE)
    load_embedder("my_model:Model")
    for spec in ("./my_model.py:Model", "other/my_model.py:Model"):
        embedder, origin = find_embedder(spec)
        source = source_of(embedder, origin.entry)
        assert source.unseen is None
        assert [name.rpartition("/")[2] for name in source.files] in (["my_model.py"], ["my_model_.py"])
