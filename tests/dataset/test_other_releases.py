"""Every format goes from a release to a dataset directory that is sound, loads and is described."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

import rope
from rope.dataset import build as build_module
from rope.dataset import reading
from rope.dataset.build import build_dataset
from rope.dataset.card import render_card
from rope.dataset.directory import SampleLabels, iter_samples, read_labels
from rope.dataset.info import describe, tables
from rope.dataset.validate import validate
from rope.domain import CONFIG_OF, Video
from rope.errors import ReleaseError, UsageError
from tests.sources.other_releases import (
    LIVES,
    MP4,
    WRITERS,
    write_folder,
    write_image,
    write_lpr4m,
    write_movingfashion,
    write_video,
)

DOMAINS_OF = {
    "product1m": ("page",),
    "m5product": ("page", "video"),
    "lpr4m": ("page", "live"),
    "movingfashion": ("page", "video"),
    "folder": ("page", "video", "live"),
}


def build(name: str, folder: Path, **options):
    release = WRITERS[name](folder / "release")
    return build_dataset(release, folder / "out", progress=False, **options)


@pytest.mark.parametrize("media", ["embed", "reference"])
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_built_is_sound_and_described(name, media, tmp_path):
    report = build(name, tmp_path, media=media)
    assert report.manifest.domains == DOMAINS_OF[name]
    assert report.manifest.source["kind"] == name
    assert validate(tmp_path / "out", decode=True) == []
    assert len(list(tables(describe(tmp_path / "out")))) == 3
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {"products", *(CONFIG_OF[domain] for domain in DOMAINS_OF[name])}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_every_configuration_loads_without_this_package(name, streaming, tmp_path):
    build(name, tmp_path)
    for config in (*(CONFIG_OF[domain] for domain in DOMAINS_OF[name]), "products", "aligned"):
        options = {"split": "validation", "streaming": streaming, "cache_dir": str(tmp_path / "cache")}
        assert next(iter(load_dataset(str(tmp_path / "out"), config, **options)))["product_id"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_second_build_finds_the_first_and_gives_the_same_bytes(name, tmp_path):
    first = build(name, tmp_path)
    again = build_dataset(tmp_path / "release", tmp_path / "out", progress=False)
    assert (again.is_new, again.manifest) == (False, first.manifest)
    other = build_dataset(tmp_path / "release", tmp_path / "other", progress=False)
    assert other.manifest.shards == first.manifest.shards


def test_a_video_file_becomes_the_video_of_its_sample(tmp_path):
    build("folder", tmp_path)
    (samples,) = iter_samples(tmp_path / "out", "video", "validation", batch_size=10)
    assert (samples[0].frames, samples[0].video) == ((), Video(MP4, "videos/v1.mp4"))
    assert (len(samples[1].frames), samples[1].video) == (2, None)
    loaded = load_dataset(str(tmp_path / "out"), "videos", split="validation", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["video"] == {"bytes": MP4, "path": "videos/v1.mp4"}


def test_a_video_by_reference_is_its_path(tmp_path):
    build("movingfashion", tmp_path, media="reference")
    (samples,) = iter_samples(tmp_path / "out", "video", "train", batch_size=10)
    assert samples[0].video == Video(None, str(tmp_path / "release" / "videos" / "train0_0.mp4"))


def test_columns_are_there_only_where_they_are_needed(tmp_path):
    build("movingfashion", tmp_path)
    names = {domain: next((tmp_path / "out" / domain).glob("*.parquet")) for domain in ("pages", "videos")}
    assert "video" in pq.read_schema(names["videos"]).names
    assert "video" not in pq.read_schema(names["pages"]).names
    assert "gallery" not in pq.read_schema(names["pages"]).names


def test_galleries_are_read_with_the_labels(tmp_path):
    build("lpr4m", tmp_path)
    labels = read_labels(tmp_path / "out", "validation")
    assert list(labels) == ["page", "live"]
    assert labels["page"].galleries == [LIVES[0]] * 3 + [LIVES[1]] * 2
    assert labels["live"].galleries == [LIVES[0]] * 2 + [LIVES[1]]


def test_the_fingerprint_knows_the_galleries(tmp_path):
    release = write_folder(tmp_path / "release")
    prints = []
    for i, gallery in enumerate(("", "x", "y")):
        rows = (release / "samples.csv").read_text().splitlines()
        with_gallery = [f"{rows[0]},gallery", *(f"{row},{gallery}" for row in rows[1:])]
        (release / "samples.csv").write_text("\n".join(rows if not gallery else with_gallery))
        prints.append(build_dataset(release, tmp_path / str(i), progress=False).manifest.fingerprint)
        (release / "samples.csv").write_text("\n".join(rows))
    assert len(set(prints)) == 3


def test_a_file_that_is_no_video_is_left_out_and_named(tmp_path):
    release = write_folder(tmp_path / "release")
    write_video(release / "videos" / "v1.mp4", b"<html>not here</html>")
    report = build_dataset(release, tmp_path / "out", progress=False)
    rows = (tmp_path / "out" / "faults.tsv").read_text().splitlines()
    assert "videos/v1.mp4\t0\tunreadable_video\tv1" in rows
    assert "samples.csv\t4\tno_readable_image\tv1" in rows
    assert report.manifest.counts["validation"]["videos"] == 1
    assert validate(tmp_path / "out") == []


def test_a_name_that_no_file_can_have_is_a_file_that_is_missing(tmp_path):
    release = write_movingfashion(tmp_path / "release")
    entries = json.loads((release / "test.json").read_text())
    entries["test1"]["video_paths"] = ["videos/a\0b.mp4"]
    (release / "test.json").write_text(json.dumps(entries))
    faults = build_dataset(release, tmp_path / "out", progress=False).manifest.faults
    assert faults == {"unreadable_video": 1, "no_readable_image": 1, "no_video": 1}


def test_a_video_of_two_products_is_the_answer_of_both(tmp_path):
    release = write_movingfashion(tmp_path / "release")
    entries = json.loads((release / "test.json").read_text())
    entries["test1"]["video_paths"] = ["videos/test0_0.mp4"]
    (release / "test.json").write_text(json.dumps(entries))
    build_dataset(release, tmp_path / "out", progress=False)
    labels = read_labels(tmp_path / "out", "validation")["video"]
    assert dict(zip(labels.sample_ids, labels.product_ids, strict=True)) == {
        "test0_1": "test0",
        "test0_0/test0": "test0",
        "test0_0/test1": "test1",
    }
    videos = [
        sample.video
        for batch in iter_samples(tmp_path / "out", "video", "validation", batch_size=9)
        for sample in batch
    ]
    assert [video.data for video in videos] == [MP4] * 3
    assert validate(tmp_path / "out", decode=True) == []


def test_a_spoilt_video_is_found(tmp_path):
    build("folder", tmp_path, media="reference")
    (tmp_path / "release" / "videos" / "v1.mp4").write_bytes(b"nothing")
    (problem,) = validate(tmp_path / "out")
    assert problem.what.startswith("1 videos cannot be read: v1 (")


def test_a_video_of_more_than_a_row_can_hold_is_left_out_and_named(tmp_path, monkeypatch):
    release = write_folder(tmp_path / "release")
    write_video(release / "videos" / "v1.mp4")
    with (release / "videos" / "v1.mp4").open("ab") as file:
        file.truncate(1 << 20)
    monkeypatch.setattr(reading, "MAX_BYTES", (1 << 20) - 1)
    report = build_dataset(release, tmp_path / "out", progress=False)
    rows = (tmp_path / "out" / "faults.tsv").read_text().splitlines()
    assert [row for row in rows if "v1" in row] == [
        "samples.csv\t4\tno_readable_image\tv1",
        "videos/v1.mp4\t0\ttoo_large\tv1",
    ]
    assert report.manifest.counts["validation"]["videos"] == 1
    assert validate(tmp_path / "out") == []


def test_videos_are_cut_into_row_groups_by_their_bytes(tmp_path, monkeypatch):
    release = write_folder(tmp_path / "release")
    rows = [f"video,w{i},red-cup,,validation" for i in range(9)]
    (release / "samples.csv").write_text((release / "samples.csv").read_text() + "\n".join(rows))
    for i in range(9):
        write_video(release / "videos" / f"w{i}.mp4")
    sizes = [path.stat().st_size for path in (release / "videos").glob("*.mp4")]
    monkeypatch.setattr(build_module, "GROUP_BYTES", 4 * max(sizes) + 100)
    build_dataset(release, tmp_path / "out", progress=False)
    (shard,) = (tmp_path / "out" / "videos").glob("validation-*.parquet")
    metadata = pq.read_metadata(shard)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [4, 4, 3]


def test_a_new_frame_is_not_taken_for_what_was_built(tmp_path):
    build("folder", tmp_path)
    write_image(tmp_path / "release" / "videos" / "v2" / "a11.jpg")
    with pytest.raises(UsageError, match="a dataset is there already, from another release"):
        build_dataset(tmp_path / "release", tmp_path / "out", progress=False)


def test_a_domain_that_is_not_there_cannot_be_loaded(tmp_path):
    build("product1m", tmp_path)
    with pytest.raises(UsageError, match="has no lives; choose one of pages, products, aligned"):
        rope.load_dataset(tmp_path / "out", "lives", split="validation")


def test_strict_refuses_what_would_be_left_out(tmp_path):
    release = write_lpr4m(tmp_path / "release")
    answers = {f"{LIVES[0]}-1-2": ["elsewhere"]}
    (release / "test_videoid_to_gtimage_3.json").write_text(json.dumps(answers))
    with pytest.raises(ReleaseError, match=r"1 x not_in_gallery, 1 x no_answer"):
        build_dataset(release, tmp_path / "out", progress=False, strict=True)


@pytest.mark.parametrize("name", WRITERS)
def test_the_card_says_where_the_data_come_from_and_what_is_there(name, tmp_path):
    report = build(name, tmp_path)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "in the layout of the ROPE release" not in card
    assert "ask them before you pass one on" in card
    assert ("| `gallery` |" in card) == (name == "lpr4m")
    assert ("| `video` |" in card) == ("video" in DOMAINS_OF[name])
    assert render_card(report.manifest).count("config_name") == len(DOMAINS_OF[name]) + 2


def test_labels_without_galleries_say_none():
    assert SampleLabels(["a"], ["p"]).galleries is None


def test_the_order_of_rows_does_not_matter(tmp_path):
    first = build("folder", tmp_path)
    header, *rows = (tmp_path / "release" / "samples.csv").read_text("utf-8").splitlines()
    (tmp_path / "release" / "samples.csv").write_text("\n".join([header, *reversed(rows)]), "utf-8")
    again = build_dataset(tmp_path / "release", tmp_path / "other", progress=False)
    assert again.manifest.shards == first.manifest.shards
