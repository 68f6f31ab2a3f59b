"""A dataset with a domain that ROPE does not have, from its release to whatever reads it."""

import json

import pyarrow.parquet as pq
import pytest
import yaml

from rope.dataset.build import build_dataset
from rope.dataset.directory import iter_samples, read_labels
from rope.dataset.info import describe
from rope.dataset.load import load_dataset
from rope.dataset.manifest import read_manifest
from rope.dataset.sheet import draw_sheet
from rope.dataset.validate import validate
from rope.errors import UsageError
from rope.feed.balanced import BalancedProducts, Draw
from rope.feed.clips import ClipReader
from rope.share.croissant import write_croissant
from rope.share.verify import find_damage
from rope.share.webdataset import export_webdataset
from tests.releases import tiny_release, write_release

THREE = ("page", "video", "live")


def with_reviews(split="test", product="b1"):
    """The tiny release with two reviews of one product: a text with two photos, and a text only."""
    lines = tiny_release()
    for prefix in ("training", "test"):
        is_here = prefix == split
        lines[f"{prefix}_product_reviews_pair.txt"] = [f"{product}, r1", f"{product}, r2"] if is_here else []
        lines[f"{prefix}_review_texts.txt"] = ["r1, nice, really", "r2, broken"] if is_here else []
        lines[f"{prefix}_review_images.txt"] = ["r1, 1, r1-1.jpg", "r1, 0, r1-0.jpg"] if is_here else []
    return lines


@pytest.fixture
def built(tmp_path):
    def build(lines, **options):
        write_release(tmp_path / "release", lines)
        return build_dataset(tmp_path / "release", tmp_path / "data", progress=False, **options)

    return build


def test_its_samples_have_a_folder_and_their_products_a_column(built, tmp_path):
    report = built(with_reviews())
    assert report.manifest.domains == (*THREE, "review")
    assert report.manifest.counts["validation"]["reviews"] == 2
    (samples,) = iter_samples(tmp_path / "data", "review", "validation", batch_size=10)
    assert [(one.sample_id, one.domain, one.text, len(one.frames)) for one in samples] == [
        ("r1", "review", "nice, really", 2),
        ("r2", "review", "broken", 0),
    ]
    (shard,) = (tmp_path / "data" / "products").glob("validation-*.parquet")
    assert pq.read_table(shard)["review_ids"].to_pylist() == [["r1", "r2"], []]
    assert {fault.kind: fault.count for fault in report.faults} == {"no_review": 3}
    assert validate(tmp_path / "data", decode=True) == []
    assert find_damage(tmp_path / "data", report.manifest) == []


def test_the_files_of_the_other_domains_do_not_know_of_it(built, tmp_path):
    whole = built(with_reviews()).manifest
    write_release(tmp_path / "plain", tiny_release())
    plain = build_dataset(tmp_path / "plain", tmp_path / "three", name="release", progress=False).manifest
    of_samples = {name: shard for name, shard in plain.shards.items() if not name.startswith("products/")}
    assert of_samples.items() <= whole.shards.items()
    assert plain.fingerprint != whole.fingerprint
    assert "reviews" not in json.loads((tmp_path / "three" / "rope.json").read_text())["counts"]["train"]


def test_the_fingerprint_knows_what_it_says(tmp_path):
    prints = set()
    for text in ("r2, broken", "r2, whole"):
        lines = with_reviews() | {"test_review_texts.txt": ["r1, nice, really", text]}
        release = write_release(tmp_path / text, lines)
        prints.add(build_dataset(release, tmp_path / f"{text}-built", progress=False).manifest.fingerprint)
    assert len(prints) == 2


def test_a_leak_through_it_is_taken_out_of_training(built):
    report = built(with_reviews("training", "b1"))
    assert {fault.kind: fault.count for fault in report.faults}["product_in_both_splits"] == 2
    assert report.manifest.counts["train"]["reviews"] == 0


@pytest.mark.parametrize("config", ["reviews", "products", "aligned"])
def test_it_is_loaded_by_its_plural(config, built, tmp_path):
    built(with_reviews())
    rows = load_dataset(tmp_path / "data", config, split="validation")
    assert len(rows) == 2
    assert ("review_ids" in rows.column_names) == (config != "reviews")
    with pytest.raises(UsageError, match="has no sessions; choose one of pages, videos, lives, reviews, products"):
        load_dataset(tmp_path / "data", "sessions")


def test_the_card_and_croissant_name_it(built, tmp_path):
    built(with_reviews())
    card = (tmp_path / "data" / "README.md").read_text("utf-8")
    configs = {one["config_name"]: one for one in yaml.safe_load(card.split("---\n")[1])["configs"]}
    assert list(configs) == ["pages", "videos", "lives", "reviews", "products", "aligned"]
    assert configs["aligned"]["columns"][-1] == "review_ids"
    assert "| no_review | 3 | kept | a product without a review |" in card
    described = json.loads(write_croissant(tmp_path / "data").read_text("utf-8"))
    assert "reviews" in [one["name"] for one in described["recordSet"]]
    assert "The samples of the product in the domain review." in json.dumps(described)


def test_it_is_described_drawn_and_exported(built, tmp_path):
    built(with_reviews())
    facts = {(one.split, one.domain): one for one in describe(tmp_path / "data").facts}
    assert facts["validation", "review"].n_samples == 2
    draw_sheet(tmp_path / "data", tmp_path / "sheet.png", "validation")
    export_webdataset(tmp_path / "data", tmp_path / "tar", progress=False)
    assert (tmp_path / "tar" / "reviews-validation-000000.tar").is_file()


def test_it_is_fed_to_training_where_it_is_asked_for(four_domains):
    reader = ClipReader(n_frames=2, size=8)
    products = BalancedProducts(four_domains, "train", reader=reader, seed=0, batch_size=2, domains=["video", "review"])
    clips = products[Draw(0, 0, 1)].clips
    assert list(clips) == ["video", "review"]
    assert clips["review"].frames.shape == (2, 3, 8, 8)


def test_a_shard_in_a_folder_of_no_domain_is_a_problem(built, tmp_path):
    built(tiny_release())
    path = tmp_path / "data" / "rope.json"
    path.write_text(path.read_text("utf-8").replace('"lives/train-', '"Lives/train-'), "utf-8")
    problems = [f"{problem.where} {problem.what}" for problem in validate(tmp_path / "data")]
    assert any("is in a folder of no domain; expected products, or" in problem for problem in problems)


def test_a_domain_that_a_release_lacks_altogether_is_absent(built, tmp_path):
    lines = {name: content for name, content in with_reviews().items() if "page" not in name}
    assert built(lines).manifest.domains == ("video", "live", "review")
    assert list(read_labels(tmp_path / "data", "validation")) == ["video", "live", "review"]
    assert read_manifest(tmp_path / "data").counts["validation"]["pages"] == 0
    assert validate(tmp_path / "data") == []
