import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from rope.dataset import build as build_module
from rope.dataset.build import build_dataset
from rope.dataset.manifest import read_manifest
from rope.errors import ReleaseError, UsageError
from tests.releases import tiny_release, write_release
from tests.stored import RELEASE, release_counts


@pytest.fixture
def release(tmp_path):
    return write_release(tmp_path / "release", tiny_release())


def build(release, out, **options):
    return build_dataset(release, out, progress=False, **options)


def content(folder: Path) -> dict[str, str]:
    """Relative path -> hash of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(out: Path, table: str) -> list[dict]:
    return [row for path in sorted(out.glob(f"{table}-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_what_a_build_writes(release, tmp_path):
    report = build(release, tmp_path / "out")
    assert report.faults == ()
    assert report.manifest.counts["train"] == {"pages": 2, "videos": 2, "lives": 2, "products": 2}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "faults.tsv",
        "lives",
        "pages",
        "products",
        "rope.json",
        "videos",
    ]
    video = rows(tmp_path / "out", "videos/validation")[0]
    assert (video["sample_id"], video["product_id"], video["text"]) == ("vb1", "b1", "text of vb1, with a comma")
    assert video["frame_times"] == [30, 90, 120]
    assert [frame["path"] for frame in video["frames"]] == ["vb1-30.jpg", "vb1-90.jpg", "vb1-120.jpg"]
    assert video["frames"][0]["bytes"] == (release / "images" / "vb1-30.jpg").read_bytes()
    assert rows(tmp_path / "out", "products/train")[0] == {
        "product_id": "a1",
        "category": None,
        "page_ids": ["pa1"],
        "video_ids": ["va1"],
        "live_ids": ["la1"],
    }


@pytest.mark.parametrize("config", ["pages", "videos", "lives", "products", "aligned"])
@pytest.mark.parametrize("streaming", [False, True])
def test_the_directory_loads_without_this_package(config, streaming, release, tmp_path):
    build(release, tmp_path / "out")
    loaded = load_dataset(
        str(tmp_path / "out"), config, split="validation", streaming=streaming, cache_dir=str(tmp_path / "cache")
    )
    first = next(iter(loaded))
    if config == "aligned":
        assert first == {"product_id": "b1", "page_ids": ["pb1"], "video_ids": ["vb1"], "live_ids": ["lb1"]}
    elif config != "products":
        assert first["frames"][0].size == (8, 8)


def test_shuffled_lines_give_the_same_shards(release, tmp_path):
    lines = {name: random.Random(name).sample(content, len(content)) for name, content in tiny_release().items()}
    shuffled = write_release(tmp_path / "shuffled", lines)
    first = build(release, tmp_path / "a", name="mini").manifest
    second = build(shuffled, tmp_path / "b", name="mini").manifest
    assert first.shards == second.shards
    assert first.fingerprint == second.fingerprint


def test_the_fingerprint_names_the_task(release, tmp_path):
    """Media mode, shard size and name don't change it; a label does."""
    expected = build(release, tmp_path / "a").manifest.fingerprint
    assert build(release, tmp_path / "b", media="reference", shard_bytes=1, name="x").manifest.fingerprint == expected
    lines = tiny_release()
    lines["test_product_pages_pair.txt"] = ["b2, pb1", "b1, pb2"]
    other = write_release(tmp_path / "other", lines)
    assert build(other, tmp_path / "c").manifest.fingerprint != expected


def test_small_shards_hold_the_same_rows(release, tmp_path):
    lines = tiny_release()
    lines["training_product_pages_pair.txt"] = [f"a{1 + i % 2}, {i}" for i in range(1200)]
    lines["training_page_images.txt"] = [f"{i}, {i % 7}.jpg" for i in range(1200)]
    lines["training_page_titles.txt"] = [f"{i}, title {i}" for i in range(1200)]
    many = write_release(tmp_path / "many", lines)
    build(many, tmp_path / "one")
    build(many, tmp_path / "several", shard_bytes=200_000)
    sizes = {shard: path.stat().st_size for shard, path in enumerate((tmp_path / "several" / "pages").glob("train-*"))}
    assert 3 < len(sizes) < 7
    assert max(sizes.values()) < 300_000
    assert rows(tmp_path / "several", "pages/train") == rows(tmp_path / "one", "pages/train")
    assert [row["sample_id"] for row in rows(tmp_path / "one", "pages/train")] == [str(i) for i in range(1200)]


def test_row_groups_are_cut_by_bytes_and_have_a_page_index(release, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "GROUP_BYTES", 1000)
    build(release, tmp_path / "out")
    (shard,) = (tmp_path / "out" / "videos").glob("train-*")
    metadata = pq.read_metadata(shard)
    assert metadata.num_row_groups == metadata.num_rows > 1  # an image only is half as large
    column = metadata.row_group(0).column(0)
    assert (column.has_offset_index, column.has_column_index) == (True, True)


def test_reference_mode_writes_paths_and_reads_no_image(release, tmp_path):
    (release / "images" / "pb1-0.jpg").unlink()
    report = build(release, tmp_path / "out", media="reference")
    assert report.faults == ()
    frame = rows(tmp_path / "out", "pages/validation")[0]["frames"][0]
    assert frame == {"bytes": None, "path": str(release / "images" / "pb1-0.jpg")}


def test_only_the_frames_that_a_model_is_given_are_read(release, tmp_path):
    (release / "images" / "vb1-30.jpg").unlink()
    report = build(release, tmp_path / "out", n_frames=1)
    assert report.faults == ()
    video = rows(tmp_path / "out", "videos/validation")[0]
    assert (video["frame_times"], [frame["path"] for frame in video["frames"]]) == ([90], ["vb1-90.jpg"])
    assert report.manifest.counts["train"]["videos"] == 2


def test_unreadable_images_cost_the_frame_and_then_the_sample(release, tmp_path):
    (release / "images" / "vb1-90.jpg").unlink()
    (release / "images" / "pb1-0.jpg").write_text("<html>404</html>", "utf-8")
    report = build(release, tmp_path / "out")
    assert {fault.kind: fault.count for fault in report.faults} == {
        "unreadable_image": 2,
        "no_readable_image": 1,
        "no_page": 1,
    }
    assert "product 'b1'" not in str(report.faults)
    assert rows(tmp_path / "out", "videos/validation")[0]["frame_times"] == [30, 120]
    assert [row["sample_id"] for row in rows(tmp_path / "out", "pages/validation")] == ["pb2"]
    assert rows(tmp_path / "out", "products/validation")[0]["page_ids"] == []
    assert report.manifest.counts["validation"]["pages"] == 1


@pytest.mark.parametrize(
    ("listed", "there", "n_faults"),
    [
        ("caf\u00e9.jpg", ["cafe\u0301.jpg"], 0),
        ("cafe\u0301.jpg", ["caf\u00e9.jpg"], 0),
        ("\u212b.jpg", ["\u00c5.jpg"], 0),
        ("\u212b.jpg", ["\u00c5.jpg", "A\u030a.jpg"], 1),
        ("café.jpg", ["cafe.jpg"], 1),
    ],
)
def test_names_of_images_may_be_in_another_form_of_unicode(listed, there, n_faults, tmp_path):
    lines = tiny_release()
    lines["test_video_frames.txt"].append(f"vb1, 7, {listed}")
    release = write_release(tmp_path / "release", lines)
    (release / "images" / listed).unlink()
    for name in there:
        shutil.copy(release / "images" / "vb1-30.jpg", release / "images" / name)
    report = build(release, tmp_path / "out")
    assert report.manifest.faults == ({"unreadable_image": 1} if n_faults else {})
    assert len(rows(tmp_path / "out", "videos/validation")[0]["frames"]) == 4 - n_faults


@pytest.mark.parametrize("header", [b"DDS " + struct.pack("<I", 124) + bytes(120), b"qoif\0\0"])
def test_an_image_that_trips_its_reader_is_a_fault(header, release, tmp_path):
    (release / "images" / "vb1-90.jpg").write_bytes(header)
    assert {fault.kind: fault.count for fault in build(release, tmp_path / "out").faults} == {"unreadable_image": 1}


def test_faults_are_counted_and_listed(tmp_path):
    lines = tiny_release()
    lines["test_page_titles.txt"] += ["ghost, boo"] * 2 + ["ghoul"]
    report = build(write_release(tmp_path / "release", lines), tmp_path / "out")
    assert report.manifest.faults == {"bad_row": 1, "repeated_row": 1, "no_product": 1}
    assert report.faults[0].examples == (
        "test_page_titles.txt:5: 'ghoul': a line with a field missing, an empty id, or one comma too many",
    )
    assert (tmp_path / "out" / "faults.tsv").read_text("utf-8").splitlines() == [
        "file\tline\tkind\tsubject",
        "test_page_titles.txt\t3\tno_product\tghost",
        "test_page_titles.txt\t4\trepeated_row\tghost",
        "test_page_titles.txt\t5\tbad_row\tghoul",
    ]


def test_strict_refuses_what_would_be_left_out(tmp_path):
    lines = tiny_release()
    del lines["test_live_asrs.txt"][0]
    release = write_release(tmp_path / "release", lines)
    assert build(release, tmp_path / "kept", strict=True).manifest.faults == {"no_text": 1}
    lines["test_page_titles.txt"] += ["ghost, boo"]
    release = write_release(tmp_path / "other", lines)
    with pytest.raises(ReleaseError, match=r"1 x no_product, and strict .* test_page_titles\.txt:3: 'ghost'"):
        build(release, tmp_path / "refused", strict=True)


def test_a_split_with_nothing_left_is_an_error(release, tmp_path):
    for image in (release / "images").glob("*b*.jpg"):
        image.unlink()
    with pytest.raises(ReleaseError, match="nothing is left of the split validation"):
        build(release, tmp_path / "out")


def test_building_again_changes_nothing(release, tmp_path):
    build(release, tmp_path / "out")
    before = content(tmp_path / "out")
    assert build(release, tmp_path / "out").is_new is False
    assert content(tmp_path / "out") == before
    with pytest.raises(UsageError, match="another release or with other options"):
        build(release, tmp_path / "out", media="reference")


def test_a_folder_with_other_files_is_left_alone(release, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious", "utf-8")
    with pytest.raises(UsageError, match=r"holds thesis\.tex, and not an unfinished build"):
        build(release, tmp_path / "out")


@pytest.mark.parametrize("options", [{"shard_bytes": 0}, {"memory_bytes": 1}])
def test_options_out_of_range(options, release, tmp_path):
    with pytest.raises(UsageError, match="need shards of at least"):
        build(release, tmp_path / "out", **options)


def test_an_image_folder_that_does_not_exist(release, tmp_path):
    with pytest.raises(UsageError, match="image names are relative to"):
        build(release, tmp_path / "out", image_root=tmp_path / "nowhere")


BUILD = "from pathlib import Path; import sys; from rope.dataset.build import build_dataset; " + (
    "build_dataset(Path(sys.argv[1]), Path(sys.argv[2]), name='mini', shard_bytes=20_000, progress=False)"
)


def is_far(out: Path, n_shards: int) -> bool:
    """Whether a build has finished so many shards, or has begun to move them."""
    is_staging = (out / ".build" / "key.json").exists()
    return (is_staging and len(list((out / ".build").glob("*-*.json"))) >= n_shards) or (out / "pages").exists()


def test_a_killed_build_goes_on_to_the_same_bytes(tmp_path):
    lines = tiny_release()
    for i in range(600):
        lines["training_product_videos_pair.txt"].append(f"a{1 + i % 2}, {i}")
        lines["training_video_asrs.txt"].append(f"{i}, text {i}")
        lines["training_video_frames.txt"] += [f"{i}, {30 * t}, {(i + t) % 50}.jpg" for t in range(6)]
    release = write_release(tmp_path / "release", lines)
    build(release, tmp_path / "calm", name="mini", shard_bytes=20_000)
    expected = content(tmp_path / "calm")
    assert len(expected) > 12
    command = [sys.executable, "-c", BUILD, str(release), str(tmp_path / "killed")]
    folder = tmp_path / "killed"
    for n_shards in (0, 1, 4, 8, 100):  # 100 never come, so the last kill is while the pieces are put in place
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
        while process.poll() is None and not is_far(folder, n_shards):
            time.sleep(0.002)
        assert process.poll() is None, f"the build ended before it could be killed at {n_shards} shards"
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    assert content(tmp_path / "killed") == expected


@pytest.mark.parametrize("n_renames", [0, 2, 5, 11, 18, 20, 24, 29, 30, 31])
def test_a_build_stopped_at_a_rename_goes_on_to_the_same_bytes(n_renames, release, tmp_path, monkeypatch):
    """Every file is put in its place by a rename, so these are the states that a build can be left in."""
    build(release, tmp_path / "calm")
    rename, done = Path.replace, []

    def stop_after_some(path, target):
        if len(done) == n_renames:
            raise KeyboardInterrupt
        done.append(target)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop_after_some)
        with pytest.raises(KeyboardInterrupt):
            build(release, tmp_path / "out")
    build(release, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "calm")


def test_a_changed_release_does_not_continue_an_old_build(release, tmp_path):
    out = tmp_path / "out"
    build(release, tmp_path / "whole")
    (out / ".build").mkdir(parents=True)
    (out / ".build" / "key.json").write_text("{}", "utf-8")
    (out / ".build" / "pages-train-00000.json").write_text("not even JSON", "utf-8")
    (out / "pages").mkdir()
    for name in ("mine.txt", "train-00000-of-00009.parquet"):
        (out / "pages" / name).write_text("there")
    before = content(out)
    with pytest.raises(UsageError, match=r"holds an unfinished build of something else: .*; .* with --overwrite"):
        build(release, out)
    assert content(out) == before
    assert build(release, out, overwrite=True).manifest.shards == read_manifest(tmp_path / "whole").shards
    assert sorted(path.name for path in (out / "pages").iterdir() if "of-00001" not in path.name) == ["mine.txt"]


def test_strict_refuses_unreadable_images_and_what_was_built_without_it(release, tmp_path):
    (release / "images" / "vb1-90.jpg").unlink()
    with pytest.raises(ReleaseError, match=r"1 x unreadable_image, and strict was asked for: vb1-90\.jpg"):
        build(release, tmp_path / "out", strict=True)
    build(release, tmp_path / "out")
    with pytest.raises(ReleaseError, match="1 x unreadable_image"):
        build(release, tmp_path / "out", strict=True)


def test_what_made_a_build_fail_can_be_put_right(release, tmp_path):
    """The failed build must not be continued, though the text files and options are the same."""
    out, images = tmp_path / "out", release / "images"
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match=r"nothing is left of the split train.*with --image-root"):
        build(release, out)
    (tmp_path / "elsewhere").rename(images)
    assert build(release, out).faults == ()


def test_a_products_tsv_without_categories_can_be_put_right(tmp_path):
    lines = tiny_release() | {"products.tsv": ["product_id\tcolour", "a1\tred"]}
    release, out = write_release(tmp_path / "release", lines), tmp_path / "out"
    with pytest.raises(ReleaseError, match=r"products\.tsv:1: columns are product_id, colour; expected") as failure:
        build(release, out)
    (release / "products.tsv").write_text("product_id\tcategory\na1\tred\n", "utf-8")
    build(release, out)
    assert rows(out, "products/train")[0]["category"] == "red"
    assert failure.value.exit_code == 1  # also keeps the frames of the failed build alive


def test_two_processes_do_not_build_in_one_folder(release, tmp_path):
    database = tmp_path / "out" / ".build" / "staged.duckdb"
    database.parent.mkdir(parents=True)
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UsageError, match="another process is building here"):
            build(release, tmp_path / "out")
        other.stdin.close()
    database.unlink()
    assert build(release, tmp_path / "out").is_new


def test_a_file_in_the_place_of_the_folder_is_refused(release, tmp_path):
    (tmp_path / "out").write_text("precious", "utf-8")
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        build(release, tmp_path / "out")


def test_real_photos(tmp_path):
    report = build(RELEASE, tmp_path / "out")
    assert report.faults == ()
    assert report.manifest.counts == release_counts()
    texts = [row["text"] for row in rows(tmp_path / "out", "videos/train")]
    assert texts.count(None) == (RELEASE / "training_video_asrs.txt").read_text("utf-8").count(", 空\n") > 0
