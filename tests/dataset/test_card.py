import pytest
import yaml

from rope.dataset.card import render_card
from rope.dataset.manifest import DatasetManifest, Shard
from rope.schema import FORMAT_VERSION


def manifest(**changes):
    counts = {split: {"pages": 3, "videos": 2, "lives": 1, "products": 2} for split in ("train", "validation")}
    shards = {"pages/train-00000-of-00001.parquet": Shard(3, 10, "0" * 64)}
    values = {
        "format_version": FORMAT_VERSION,
        "name": "mini",
        "source": {"kind": "rope_release", "options": "0", "training_page_titles.txt": "1"},
        "media": "embed",
        "counts": counts,
        "faults": {},
        "shards": shards,
        "fingerprint": "f" * 64,
    }
    return DatasetManifest(**(values | changes))


def header(card):
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_header_names_every_configuration_and_split():
    configs = {config["config_name"]: config for config in header(render_card(manifest()))["configs"]}
    assert list(configs) == ["pages", "videos", "lives", "products", "aligned"]
    assert [name for name, config in configs.items() if config.get("default")] == ["pages"]
    assert configs["aligned"]["columns"] == ["product_id", "page_ids", "video_ids", "live_ids"]
    assert configs["aligned"]["data_files"] == configs["products"]["data_files"]
    assert configs["videos"]["data_files"] == [
        {"split": "train", "path": "videos/train-*.parquet"},
        {"split": "validation", "path": "videos/validation-*.parquet"},
    ]


def test_a_split_that_is_not_there_is_not_named():
    only_train = {"train": manifest().counts["train"]}
    card = render_card(manifest(counts=only_train))
    assert "validation" not in str(header(card))
    assert 'split="train"' in card


@pytest.mark.parametrize("name", ["it's", "a: b", "#1", "数据", "- x"])
def test_any_name_survives_the_header(name):
    assert header(render_card(manifest(name=name)))["pretty_name"] == name


@pytest.mark.parametrize(("pages", "size"), [(1, "n<1K"), (998, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "n>100M")])
def test_the_size_counts_samples_not_products(pages, size):
    counts = {"train": {"pages": pages, "videos": 1, "lives": 1, "products": 10**7}}
    assert header(render_card(manifest(counts=counts)))["size_categories"] == [size]


def test_faults_are_counted_with_their_rule():
    assert "Nothing was found." in render_card(manifest())
    card = render_card(manifest(faults={"bad_row": 1234, "no_text": 1}))
    assert "| bad_row | 1,234 | left out | a line with a field missing" in card
    assert "| no_text | 1 | kept |" in card


@pytest.mark.parametrize(("media", "words"), [("embed", "bytes inside"), ("reference", "paths of files")])
def test_the_card_says_where_the_images_are(media, words):
    assert words in render_card(manifest(media=media))
