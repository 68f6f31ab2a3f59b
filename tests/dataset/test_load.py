"""`load_dataset("rope")`, by `datasets` and by `rope`, in their own processes: the hook acts at import."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from rope.dataset.load import load_dataset
from rope.errors import DatasetError, UsageError

N_TRAIN = {"pages": 3, "videos": 2, "lives": 2, "products": 2, "aligned": 2}


@pytest.fixture
def python(tmp_path):
    """Runs a program in a folder that holds a folder named `rope`, with caches of its own; returns what it prints.

    The process ends without the interpreter's shutdown: pyarrow's threads may still let go of a Python file then, and
    an interpreter before 3.14 aborts in that case (apache/arrow#45214).
    """

    def run(program: str, **environment: str) -> str:
        (tmp_path / "cwd" / "rope").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cwd" / "rope" / "data.csv").write_text("a,b\n1,2\n")
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROPE_")},
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "1",
            "ROPE_CACHE": str(tmp_path / "cache"),
            **environment,
        }
        program += "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)"
        command = [sys.executable, "-W", "error::DeprecationWarning:rope", "-c", program]
        done = subprocess.run(command, cwd=tmp_path / "cwd", env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    """For the tests in this process: `datasets` reads its cache folder from its configuration."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROPE_DATA", raising=False)
    datasets.disable_progress_bars()


@pytest.mark.parametrize(
    "imports",
    [
        "import rope; import datasets",
        "import datasets; import rope",
        "from datasets import load_dataset; import rope, datasets; datasets.load_dataset = load_dataset",
        "import datasets.load; import rope; import datasets; import importlib; importlib.reload(rope)",
    ],
)
def test_datasets_knows_rope_whatever_is_imported_first(imports, python, small):
    program = f"""{imports}
rows = datasets.load_dataset("rope", "pages", split="train")
print(rows["sample_id"][:], rows[0]["frames"][0].size, datasets.get_dataset_config_names("rope"))"""
    expected = "['9', '10', '11'] (12, 12) ['pages', 'videos', 'lives', 'products', 'aligned']"
    assert python(program, ROPE_DATA=str(small)) == expected


def test_data_dir_is_where_the_data_is_and_not_a_folder_inside(python, small):
    program = f"""import rope, datasets
for streaming in (False, True):
    rows = datasets.load_dataset("rope", "videos", split="validation", data_dir={str(small)!r}, streaming=streaming)
    print([row["sample_id"] for row in rows])"""
    assert python(program) == "['31', '33']\n['31', '33']"


def test_other_paths_are_read_as_before(python):
    program = """import rope, datasets
print(datasets.load_dataset("./rope", split="train")[0])
print(datasets.load_dataset("csv", data_dir="rope", split="train")[0])"""
    assert python(program) == "{'a': 1, 'b': 2}\n{'a': 1, 'b': 2}"


def test_without_data_datasets_passes_on_how_to_get_it(python):
    program = """import rope, datasets, rope.errors
try:
    datasets.load_dataset("rope", "pages")
except rope.errors.DatasetError as error:
    print(error)"""
    assert "rope synthesize" in python(program)


def test_importing_rope_imports_nothing_heavy(python):
    program = "import rope, sys; print(sorted({'datasets', 'pyarrow', 'numpy', 'duckdb', 'PIL'} & set(sys.modules)))"
    assert python(program) == "[]"


def test_the_front_door_is_lazy_and_narrow():
    import rope

    assert rope.load_dataset is load_dataset
    assert rope.__version__ == version("rope-bench")
    with pytest.raises(AttributeError, match="module 'rope' has no attribute 'nothing'"):
        rope.nothing  # noqa: B018


def test_the_module_of_datasets_keeps_its_loader(python):
    program = """import rope, datasets.load, inspect
print(type(datasets.load.__spec__.loader).__name__, "def load_dataset" in inspect.getsource(datasets.load))"""
    assert python(program) == "SourceFileLoader True"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", N_TRAIN)
def test_every_configuration_loads(config, streaming, small):
    rows = list(load_dataset("rope", config, split="train", streaming=streaming, data_dir=small))
    assert len(rows) == N_TRAIN[config]
    if config in ("pages", "videos", "lives"):
        assert all(image.size == (12, 12) for row in rows for image in row["frames"])
    else:
        assert rows[0]["page_ids"] == ["9", "10"]


def test_a_path_serves_as_the_name_and_no_split_gives_both(small):
    loaded = load_dataset(small, "lives")
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2, "validation": 2}
    assert len(load_dataset(small, split="train[:1]+validation")) == 3


def test_a_dataset_that_was_built_again_in_the_same_place_is_not_read_from_the_cache(small):
    from tests.dataset.conftest import small_tables, write_tables

    assert load_dataset(small, "pages", split="train")[0]["text"] == "text of 9"
    tables = small_tables()
    tables["pages/train"][0]["text"] = "changed"
    write_tables(small, tables)
    assert load_dataset(small, "pages", split="train")[0]["text"] == "changed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "title"}, "unknown configuration 'title'; choose products, aligned or the name of a domain"),
        ({"split": "test"}, "unknown split 'test'; choose one of train, validation"),
        ({"split": "train+test[:2]"}, r"unknown split 'test\[:2\]'"),
        ({"path": "a", "data_dir": "b"}, "got two directories, path=a and data_dir=b"),
        ({"path": "nowhere"}, "nowhere: no such directory"),
        ({"name": ["pages", "videos"]}, "unknown configuration .*pages.*videos"),
        ({"num_proc": 0}, "num_proc is 0, expected at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        load_dataset(**arguments)


@pytest.mark.parametrize("columns", [[], "text"], ids=repr)
def test_columns_that_are_no_list_of_names_are_not_blamed_on_the_data(small, columns):
    with pytest.raises(UsageError, match=r"pages: columns is .*, expected a list of names"):
        load_dataset(small, "pages", split="train", columns=columns)


def test_an_unfinished_directory_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="not a finished dataset"):
        load_dataset(tmp_path)
