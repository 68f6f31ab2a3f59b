"""`datasets` reads the shards that the manifest names, whatever characters the path has, and no others."""

import datasets
import pytest

import rope
from rope.dataset.builder import Shards
from rope.dataset.load import load_dataset
from rope.dataset.validate import validate
from rope.dataset.views import open_views
from rope.errors import DatasetError, UsageError
from rope.feed import BalancedProducts, ClipReader
from tests.dataset.conftest import sample, small_tables, write_tables

ODD_FOLDERS = ("run[12]", "a*b", "v?", "[D_DATA] set", "**", "a::b", "zip::w", "s3:", "h#1", "%41", "{a,b}")


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROPE_DATA", raising=False)
    datasets.disable_progress_bars()


@pytest.fixture
def beside(tmp_path):
    """Makes a dataset in a folder of the name given, beside others that patterns of this name would match."""

    def make(name: str):
        others = small_tables()
        others["pages/train"] = [sample("900", "2", 1, text="of another dataset")]
        others["products/train"][1]["page_ids"] = ["900"]
        for decoy in ("run1", "aXb", "v2", "D set", "k", "a", "w"):
            if decoy != name:
                write_tables(tmp_path / decoy / "OUT", others)
        return write_tables(tmp_path / name / "OUT", small_tables())

    return make


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_no_path_is_taken_for_a_pattern_or_an_address(name, beside):
    data = beside(name)
    for load in (load_dataset, datasets.load_dataset):
        assert load(str(data), "pages", split="train")["sample_id"][:] == ["9", "10", "11"]
    assert [row["sample_id"] for row in load_dataset(data, "pages", split="train", streaming=True)] == ["9", "10", "11"]
    assert validate(data) == []


def test_balanced_batches_are_of_the_dataset_that_was_named(beside):
    products = BalancedProducts(beside("run[12]"), "train", reader=ClipReader(n_frames=1, size=8), seed=0, batch_size=2)
    assert {products[draw].clips["page"].sample_id for draws, _ in products.steps(0, 0) for draw in draws} <= {
        "9",
        "10",
        "11",
    }


def test_a_folder_named_like_a_partition_hides_no_column(tmp_path):
    data = write_tables(tmp_path / "product_id=7" / "OUT", small_tables())
    assert validate(data) == []
    from rope.dataset.manifest import read_manifest

    with open_views(data, read_manifest(data)) as connection:
        assert connection.sql("SELECT DISTINCT product_id FROM pages_train ORDER BY 1").fetchall() == [("1",), ("2",)]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_shard_of_another_number_of_rows_is_refused(streaming, small):
    shards = sorted((small / "pages").glob("train-*"))
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(DatasetError, match=r"train-00001.*has 2 rows, but rope.json says 1"):
        list(load_dataset(small, "pages", split="train", streaming=streaming))


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (datasets.Split.TRAIN, [3]),
        (datasets.ReadInstruction("train", to=2, unit="abs"), [2]),
        (["train", "validation"], [3, 2]),
        ("train[:1]+validation", [3]),
        ("all", [5]),
    ],
)
def test_every_form_of_split_that_datasets_takes(split, sizes, small):
    for loaded in (
        load_dataset(small, split=split),
        datasets.load_dataset("rope", "pages", split=split, data_dir=small),
    ):
        assert [len(rows) for rows in (loaded if isinstance(loaded, list) else [loaded])] == sizes


def test_only_the_split_that_is_asked_for_is_converted(small, monkeypatch):
    read = []
    original = Shards._generate_tables

    def generate(self, files):
        read.extend(files)
        return original(self, files)

    monkeypatch.setattr(Shards, "_generate_tables", generate)
    load_dataset(small, "pages", split="validation")
    assert {name.split("/")[1].split("-")[0] for name in read} == {"validation"}
    load_dataset(small, "pages", split="validation")
    assert len(read) == 1  # the second time, from the cache


def test_columns_are_chosen_and_unknown_ones_refused(small):
    assert load_dataset(small, split="train", columns=["text"], keep_in_memory=True).column_names == ["text"]
    with pytest.raises(UsageError, match="has no column 'title'; choose one of sample_id, product_id, text"):
        load_dataset(small, split="train", columns=["title"])


def test_several_processes_convert_the_same_rows(small):
    assert load_dataset(small, split="train", num_proc=2)["sample_id"][:] == ["9", "10", "11"]


def test_the_table_says_what_it_is_of(small):
    info = load_dataset(small, split="train").info
    assert "Fingerprint" in info.description
    assert "ICCV 2023" in info.citation
    assert "licence" in info.license


def test_files_of_the_callers_own_are_refused(small):
    with pytest.raises(UsageError, match="got data_files"):
        datasets.load_dataset("rope", "pages", data_dir=str(small), data_files="pages/*.parquet")


def test_the_front_door_is_listed():
    assert "load_dataset" in dir(rope)
