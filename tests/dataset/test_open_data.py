"""Amazon Berkeley Objects goes from a folder of its files to a dataset directory that is sound and described."""

import pytest
from datasets import load_dataset

from rope.dataset.build import build_dataset
from rope.dataset.validate import validate
from rope.errors import ReleaseError
from tests.sources.abo import put, write_abo


def test_what_is_built_is_sound_and_loads(tmp_path):
    report = build_dataset(write_abo(tmp_path / "abo"), tmp_path / "out", n_frames=8, progress=False)
    assert (report.faults, report.manifest.domains) == ((), ("page", "video"))
    assert validate(tmp_path / "out", decode=True) == []
    assert sum(counts["products"] for counts in report.manifest.counts.values()) == 6
    rows = load_dataset(str(tmp_path / "out"), "videos", split="validation", cache_dir=str(tmp_path / "cache"))
    assert {len(row["frames"]) for row in rows} == {8}
    again = build_dataset(tmp_path / "abo", tmp_path / "out", n_frames=8, progress=False)
    assert (again.is_new, again.manifest) == (False, report.manifest)


def test_a_file_of_listings_that_is_something_else_stops_the_build(tmp_path):
    put(write_abo(tmp_path / "abo") / "listings/metadata/listings_9.json.gz", b"<html>\n<body>\n")
    with pytest.raises(ReleaseError, match="listings_9"):
        build_dataset(tmp_path / "abo", tmp_path / "out", progress=False)


@pytest.mark.parametrize("name", ["abo", "abo-mvr"])
def test_the_card_says_licence_credit_split_and_what_was_not_seen(name, tmp_path):
    rows = [(side, "c", f"g{i}", f"5{i}main", "image", "p.jpg") for i, side in enumerate(("train", "test-query"))]
    release = write_abo(tmp_path / "in", benchmark=rows)
    report = build_dataset(release, tmp_path / "out", release_format=name, media="reference", progress=False)
    assert (report.manifest.source["kind"], report.manifest.name) == (name, name)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    for words in (
        "\nlicense: cc-by-4.0\n",
        "older copies of its README say CC BY-NC 4.0",
        "data by Amazon.com",
        "arXiv 2110.06199",
        "have not seen the real files",
        {"abo": "drawn by a hash of related products", "abo-mvr": "follows the benchmark abo-mvr"}[name],
    ):
        assert words in card
    assert "ask them before" not in card
