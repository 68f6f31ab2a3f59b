"""A model without a fingerprint is known by its source, and vectors of another source are never taken for its own."""

import subprocess
import sys
import types

import numpy as np
import pyarrow.parquet as pq
import pytest

from rope.bench.running.embedder import find_embedder
from rope.bench.running.run import run_embedder
from rope.bench.running.share import RunShare
from rope.bench.running.source import source_of
from rope.errors import UsageError
from tests.bench.running.test_run import COUNTS, write_dataset

FILES = {
    "my_model.py": """
import numpy as np
from base import Base
class Model(Base):
    name = "mine"
    def __init__(self, scale="1"):
        self.scale = scale
    def embed(self, samples):
        from lazy import direction
        return np.array([direction(int(s.sample_id)) for s in samples], np.float32)
def make():
    return Model("7")
""",
    "base.py": "from parts import net\nclass Base:\n    pass\n",
    "parts/__init__.py": "from .shape import SHAPE as S\n",
    "parts/shape.py": "SHAPE = 3\n",
    "parts/net.py": "from . import deep\n",
    "parts/deep/__init__.py": "from ..shape import SHAPE\nfrom .. import extra\n",
    "parts/extra.py": "import json, numpy.linalg, rope.media\n",
    "parts/unused.py": "",
    "lazy.py": """
import importlib
names = importlib.import_module('names')
def direction(i):
    return [i + 1, 1, 0]
""",
    "names.py": "from listed import *",
    "listed/__init__.py": "__all__ = ['one']",
    "listed/one.py": "",
    "other.py": "from my_model import Model as Alias\n",
}
USED = sorted(FILES.keys() - {"parts/unused.py", "other.py"})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), counts=COUNTS)


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder of code that is the current one; what was imported from it before is forgotten."""
    folder = tmp_path / "code"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    yield folder
    forget()


def forget():
    tops = {name.partition("/")[0].removesuffix(".py") for name in FILES}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def embed(data, out, spec="my_model:Model", **options):
    forget()
    embedder, origin = find_embedder(spec)
    done = []
    run_embedder(
        embedder, data, out, **{"batch_size": 4, "progress": False, "origin": origin, "report": done.append, **options}
    )
    return done[0]


def test_the_files_are_all_that_the_class_imports_wherever_it_does(code):
    embedder, origin = find_embedder("my_model:Model")
    assert sorted(source_of(embedder, origin.entry).files) == USED
    assert sorted(source_of(embedder).files) == USED


def test_an_object_counts_with_what_it_holds_and_where_it_was_found(code):
    embedder, origin = find_embedder("other:Alias")
    assert sorted(source_of(embedder, origin.entry).files) == sorted([*USED, "other.py"])
    import lazy

    plain = types.SimpleNamespace(name="plain", embed=lazy.direction)
    assert sorted(source_of(plain).files) == ["lazy.py", "listed/__init__.py", "listed/one.py", "names.py"]


def test_the_standard_library_and_installed_packages_are_left_out(code):
    (code / "base.py").write_text(
        "import json, numpy, pyarrow.parquet, rope.bench.running.run\nclass Base: ...\nif 0:\n  import nobody"
    )
    embedder, origin = find_embedder("my_model:Model")
    assert sorted(source_of(embedder, origin.entry).files) == [
        "base.py",
        "lazy.py",
        "listed/__init__.py",
        "listed/one.py",
        "my_model.py",
        "names.py",
    ]


@pytest.mark.parametrize("name", USED)
def test_a_finished_run_of_changed_code_is_refused(name, code, data, tmp_path):
    embed(data, tmp_path / "e.parquet")
    (code / name).write_text(FILES[name] + "# another\n")
    with pytest.raises(
        UsageError, match=rf"e\.parquet exists already: {name} has changed; start over with --overwrite"
    ):
        embed(data, tmp_path / "e.parquet")


def test_a_stopped_run_of_changed_code_is_refused_and_so_is_a_share(code, data, tmp_path):
    embed(data, tmp_path / "e.parquet", share=RunShare(0, 2))
    (code / "lazy.py").write_text(FILES["lazy.py"].replace("1, 0]", "2, 0]"))
    (code / "base.py").write_text("class Base: ...")
    expected = r"unfinished run of something else: base\.py has changed, lazy\.py has changed, parts/.* is gone"
    for share in (RunShare(1, 2), None):
        with pytest.raises(UsageError, match=expected):
            embed(data, tmp_path / "e.parquet", share=share)


def test_unused_code_does_not_matter_and_what_is_kept_is_counted(code, data, tmp_path):
    n = sum(COUNTS.values())
    first = embed(data, tmp_path / "e.parquet", share=RunShare(0, 2))
    assert (first.n_kept, 0 < first.n_embedded < n) == (0, True)
    (code / "parts" / "unused.py").write_text("x = 1")
    second = embed(data, tmp_path / "e.parquet")
    assert (second.n_kept, second.n_embedded) == (first.n_embedded, n - first.n_embedded)
    third = embed(data, tmp_path / "e.parquet")
    assert (third.n_kept, third.n_embedded, third.source) == (n, 0, tuple(USED))


def test_overwrite_starts_anew(code, data, tmp_path):
    out = tmp_path / "e.parquet"
    embed(data, out)
    (code / "lazy.py").write_text(FILES["lazy.py"].replace("i + 1", "i + 2"))
    done = embed(data, out, overwrite=True)
    assert (done.n_kept, done.n_embedded) == (0, sum(COUNTS.values()))
    assert pq.read_table(out)["embedding"][0].as_py() == [2, 1, 0]
    (tmp_path / "other.parquet").write_bytes(b"notes")
    with pytest.raises(UsageError, match="was not written by this command, so it is not overwritten"):
        embed(data, tmp_path / "other.parquet", overwrite=True)
    with pytest.raises(UsageError, match="a share cannot restart the whole run"):
        embed(data, out, overwrite=True, share=RunShare(0, 2))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("my_model:Model", "my_model:Model?scale=2", "setting scale is '1' there and '2' now"),
        ("my_model:Model", "my_model:make", "setting object is 'Model' there and 'make' now, setting scale is"),
    ],
)
def test_options_and_the_name_of_the_object_are_part_of_the_run(first, second, expected, code, data, tmp_path):
    embed(data, tmp_path / "e.parquet", first)
    with pytest.raises(UsageError, match=expected):
        embed(data, tmp_path / "e.parquet", second)


def test_what_a_constructor_was_given_is_part_of_the_run(code, data, tmp_path):
    find_embedder("my_model:Model")
    from my_model import Model

    run_embedder(Model(2), data, tmp_path / "e.parquet", progress=False)
    run_embedder(Model(2), data, tmp_path / "e.parquet", progress=False)
    with pytest.raises(UsageError, match="setting scale is '2' there and '3' now"):
        run_embedder(Model(3), data, tmp_path / "e.parquet", progress=False)


def test_a_file_that_an_option_names_is_part_of_the_run(code, data, tmp_path):
    (code / "best.pt").write_bytes(b"1")
    embed(data, tmp_path / "e.parquet", "my_model:Model?scale=best.pt")
    (code / "best.pt").write_bytes(b"2")
    with pytest.raises(UsageError, match=r"already: best\.pt has changed"):
        embed(data, tmp_path / "e.parquet", "my_model:Model?scale=best.pt")


def test_the_weights_and_configuration_of_a_folder_are_part_of_the_run_and_results_are_not(code, data, tmp_path):
    (code / "runs").mkdir()
    for name in ("config.json", "model.safetensors"):
        (code / "runs" / name).write_text("1")
    spec = "my_model:Model?scale=runs"
    embed(data, tmp_path / "e.parquet", spec)
    (code / "runs" / "result.json").write_text("1")
    embed(data, tmp_path / "e.parquet", spec)
    (code / "runs" / "config.json").write_text("2")
    with pytest.raises(UsageError, match=r"already: runs/config\.json has changed"):
        embed(data, tmp_path / "e.parquet", spec)


def test_weights_that_the_code_names_are_part_of_the_run(code, data, tmp_path):
    (code / "names.py").write_text("def load():\n    return open('tower.pt'), open('notes.txt'), open('absent.pt')")
    for name in ("tower.pt", "notes.txt"):
        (code / name).write_text("1")
    embed(data, tmp_path / "e.parquet")
    (code / "notes.txt").write_text("2")
    embed(data, tmp_path / "e.parquet")
    (code / "tower.pt").write_text("2")
    with pytest.raises(UsageError, match=r"already: tower\.pt has changed"):
        embed(data, tmp_path / "e.parquet")


def test_an_option_counts_where_a_fingerprint_leaves_it_out_but_not_the_device(code, data, tmp_path):
    (code / "my_model.py").write_text(
        FILES["my_model.py"].replace('scale="1"', 'scale="1", device="cpu"') + "Model.fingerprint = '1'"
    )
    embed(data, tmp_path / "e.parquet", "my_model:Model?device=cpu")
    embed(data, tmp_path / "e.parquet", "my_model:Model?device=cuda")
    with pytest.raises(UsageError, match="setting scale is None there and '2' now"):
        embed(data, tmp_path / "e.parquet", "my_model:Model?scale=2")


def test_code_that_was_edited_but_not_imported_again_is_not_known(code, data, tmp_path):
    embedder, _ = find_embedder("my_model:Model")
    assert source_of(embedder).unseen is None
    (code / "base.py").write_text("class Base: ...")
    assert source_of(embedder).unseen == "base.py was edited after it was imported, so start Python again"
    run_embedder(embedder, data, tmp_path / "e.parquet", batch_size=4, progress=False)
    with pytest.raises(UsageError, match=r"base\.py was edited after it was imported, so .* nothing tells whether"):
        embed(data, tmp_path / "e.parquet")


PROMPT = """
import sys
from pathlib import Path
import numpy as np
from rope.bench.running.run import run_embedder
class Model:
    name = "prompt"
    def embed(self, samples):
        return np.ones((len(samples), 2))
for _ in range(2):
    run_embedder(Model(), Path(sys.argv[1]), Path(sys.argv[2]), progress=False, report=lambda done: print(done.unseen))
"""


def test_a_class_of_a_prompt_runs_once_and_is_not_resumed(data, tmp_path):
    words = [sys.executable, "-c", PROMPT, str(data), str(tmp_path / "e.parquet")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.stdout == "Model was defined in a notebook or at a prompt\n"
    assert "UsageError" in ended.stderr
    assert "so nothing tells whether its vectors are those of this model (give it an attribute `finger" in ended.stderr


def test_a_class_of_a_script_is_known_by_the_script(data, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROMPT)
    words = [sys.executable, str(script), str(data), str(tmp_path / "e.parquet")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "None\nNone\n"
    script.write_text(PROMPT.replace("np.ones", "2 * np.ones"))
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "script.py has changed" in ended.stderr


def rewritten(path, change):
    """The same file with another key."""
    table = pq.read_table(path)
    metadata = {b"rope_run": change(table.schema.metadata[b"rope_run"].decode()).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


OLD = '{"batch_size": 4, "dataset": "d0", "embedder": "mine", "embedder_fingerprint": FP, "split": "validation"}'


def test_a_file_of_an_older_version_is_kept_where_a_fingerprint_vouches_for_it(code, data, tmp_path):
    out = tmp_path / "e.parquet"
    embed(data, out)
    rewritten(out, lambda _: OLD.replace("FP", "null"))
    with pytest.raises(UsageError, match="older version, which did not keep a hash of the model's code"):
        embed(data, out)
    rewritten(out, lambda _: OLD.replace("FP", '"1"'))
    (code / "my_model.py").write_text(FILES["my_model.py"] + "Model.fingerprint = '1'")
    table = pq.read_table(out)
    pq.write_table(table, out, row_group_size=32)
    assert embed(data, out, check=False).n_embedded == 0


def test_other_images_in_the_dataset_are_another_run(code, tmp_path):
    from dataclasses import replace

    from rope.dataset.manifest import read_manifest, write_manifest

    data = write_dataset(tmp_path / "data")
    embed(data, tmp_path / "e.parquet")
    manifest = read_manifest(data)
    shards = {name: replace(shard, sha256="other") for name, shard in manifest.shards.items()}
    write_manifest(data, replace(manifest, shards=shards))
    with pytest.raises(UsageError, match="the dataset's files are others there, with the same ids and texts"):
        embed(data, tmp_path / "e.parquet")


def test_a_fingerprint_that_is_no_text_is_refused(data, tmp_path):
    bad = types.SimpleNamespace(name="bad", fingerprint=3, embed=lambda samples: np.ones((len(samples), 2)))
    with pytest.raises(UsageError, match="its fingerprint is int, expected a string"):
        run_embedder(bad, data, tmp_path / "e.parquet", progress=False)
