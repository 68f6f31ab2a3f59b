import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from rope import extras
from rope.errors import UsageError
from rope.files import sha256_of
from rope.synthetic import release as release_module
from rope.synthetic.release import write_release
from tests.synthetic.folders import hashes

SAMPLE_FILES = [
    ("product_pages_pair", "page_titles", "page_images"),
    ("product_videos_pair", "video_asrs", "video_frames"),
    ("product_lives_pair", "live_asrs", "live_clips"),
]
PREFIXES = ("training", "test")


def _rows(folder: Path, name: str) -> list[list[str]]:
    lines = (folder / f"{name}.txt").read_text("utf-8").splitlines()
    n_splits = 1 if name.endswith(("titles", "asrs")) else -1
    return [[field.strip() for field in line.split(", ", n_splits)] for line in lines]


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_number_of_workers_does_not_change_a_byte(tmp_path):
    for workers in (1, 2):
        write_release(tmp_path / str(workers), products=5, seed=1, workers=workers, progress=False)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")


def test_another_seed_gives_other_pictures_and_texts(tmp_path):
    for seed in (1, 2):
        write_release(tmp_path / str(seed), products=2, seed=seed, mp4=False, workers=1, progress=False)
    first, second = hashes(tmp_path / "1"), hashes(tmp_path / "2")
    assert not {name for name in first if name.startswith("images/")} & set(second)
    assert first["training_page_titles.txt"] != second["training_page_titles.txt"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("pair_file", "text_file", "image_file"), SAMPLE_FILES)
def test_every_sample_has_a_text_row_and_its_pictures(release, prefix, pair_file, text_file, image_file):
    samples = [sample for _, sample in _rows(release, f"{prefix}_{pair_file}")]
    texts = dict(_rows(release, f"{prefix}_{text_file}"))
    images = _rows(release, f"{prefix}_{image_file}")
    assert len(samples) == len(set(samples))
    assert set(samples) == set(texts) == {row[0] for row in images}
    assert all(text and "\n" not in text for text in texts.values())
    assert all((release / "images" / row[-1]).is_file() for row in images)


def test_every_picture_belongs_to_one_row(release):
    named = [
        row[-1] for p in PREFIXES for *_, image_file in SAMPLE_FILES for row in _rows(release, f"{p}_{image_file}")
    ]
    assert sorted(named) == sorted(path.name for path in (release / "images").iterdir())


@pytest.mark.parametrize("pair_file", [names[0] for names in SAMPLE_FILES])
def test_every_product_has_every_domain_in_its_split(release, pair_file):
    for prefix in PREFIXES:
        split = {row["product_id"] for row in _table(release / "products.tsv") if row["split"] == prefix}
        assert {product for product, _ in _rows(release, f"{prefix}_{pair_file}")} == split


def test_look_alikes_share_a_category_and_groups_stay_in_a_split_but_for_one(release):
    products = [row for row in _table(release / "products.tsv") if row["lookalike_group"]]
    groups = Counter(row["lookalike_group"] for row in products)
    assert groups
    assert min(groups.values()) >= 2
    assert len({(row["lookalike_group"], row["category"]) for row in products}) == len(groups)
    assert len({(row["lookalike_group"], row["split"]) for row in products}) <= len(groups) + 1


@pytest.mark.parametrize(("products", "share", "n_test"), [(2, 0.3, 1), (4, 0.5, 2), (5, 0.01, 1), (3, 0.99, 2)])
def test_both_splits_have_a_product(tmp_path, products, share, n_test):
    out = tmp_path / "out"
    write_release(out, products=products, seed=0, validation_share=share, mp4=False, workers=1, progress=False)
    assert Counter(row["split"] for row in _table(out / "products.tsv"))["test"] == n_test


def test_frames_have_growing_times_and_one_size(release):
    frames = {"video_frames": 30, "live_clips": 1000}
    for name, step in frames.items():
        times: dict[str, list[int]] = {}
        for sample, time, _ in _rows(release, f"test_{name}"):
            times.setdefault(sample, []).append(int(time))
        for found in times.values():
            assert 6 <= len(found) <= 12
            assert sorted(found) == list(range(min(found), min(found) + step * len(found), step))


def test_rows_are_shuffled(release):
    ids = [row[0] for row in _rows(release, "training_video_frames")]
    assert sum(a == b for a, b in pairwise(ids)) < 0.1 * len(ids)


def test_a_few_rows_have_the_blanks_of_the_official_release(release):
    lines = (release / "training_video_frames.txt").read_text("utf-8").split("\n")
    trailing = sum(line.endswith(".jpg ") for line in lines)
    assert 0 < trailing < 0.1 * len(lines)


def test_the_index_describes_each_mp4_which_decodes_to_all_its_frames(release):
    import av

    index = _table(release / "videos" / "index.tsv")
    assert {row["file"] for row in index} == {path.name for path in (release / "videos").glob("*.mp4")} != set()
    for row in index:
        path = release / "videos" / row["file"]
        assert (int(row["bytes"]), row["sha256"]) == (path.stat().st_size, sha256_of(path))
        with av.open(str(path)) as container:
            sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert sizes == [(int(row["width"]), int(row["height"]))] * int(row["frames"])


def test_a_picture_of_each_domain_has_the_size_of_its_domain(release):
    for (*_, image_file), size in zip(SAMPLE_FILES, [(256, 256), (180, 320), (180, 320)], strict=True):
        with Image.open(release / "images" / _rows(release, f"test_{image_file}")[0][-1]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", size)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"products": 1}, "products is 1; expected at least 2"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"validation_share": 0.0}, "validation_share is 0.0"),
        ({"validation_share": 1.0}, "validation_share is 1.0"),
        ({"workers": 0}, "workers is 0; expected at least 1"),
    ],
)
def test_a_number_out_of_range_is_refused_and_nothing_is_left(tmp_path, change, sentence):
    arguments = {"products": 2, "seed": 0, "mp4": False, "progress": False} | change
    with pytest.raises(UsageError, match=sentence):
        write_release(tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_without_pyav_the_error_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"rope-bench\[video\].*mp4=False"):
        write_release(tmp_path / "out", products=2, seed=0, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_without_mp4_there_is_no_folder_of_videos_and_the_rest_is_the_same(tmp_path):
    for name, with_mp4 in (("with", True), ("without", False)):
        write_release(tmp_path / name, products=2, seed=0, mp4=with_mp4, workers=1, progress=False)
    kept = {name: sha for name, sha in hashes(tmp_path / "with").items() if not name.startswith("videos/")}
    assert kept == hashes(tmp_path / "without")


def test_a_crash_leaves_nothing(tmp_path, monkeypatch):
    def crash(*args, **kwargs):
        raise RuntimeError("crash")

    monkeypatch.setattr(release_module, "map_in_order", crash)
    with pytest.raises(RuntimeError, match="crash"):
        write_release(tmp_path / "out", products=2, seed=0, mp4=False, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_domain_do_not_depend_on_the_others(tmp_path):
    made = {}
    for domains in (("page", "video", "live"), ("page", "video", "live", "review"), ("review", "page")):
        out = tmp_path / "-".join(domains)
        write_release(out, products=3, seed=1, domains=domains, mp4=False, workers=1, progress=False)
        made[domains] = {name: digest for name, digest in hashes(out).items() if name != "README.txt"}
    three, four, two = made.values()
    assert three.items() < four.items()
    assert two.items() < four.items()
    assert {name for name in four if name not in three and name.endswith(".txt")} == {
        f"{prefix}_{name}.txt"
        for prefix in PREFIXES
        for name in ("product_reviews_pair", "review_texts", "review_images")
    }


def test_a_review_has_one_to_three_photos_and_few_words(tmp_path):
    write_release(tmp_path / "r", products=12, seed=1, domains=["review"], workers=1, progress=False)
    images = [row for prefix in PREFIXES for row in _rows(tmp_path / "r", f"{prefix}_review_images")]
    texts = [row for prefix in PREFIXES for row in _rows(tmp_path / "r", f"{prefix}_review_texts")]
    assert set(Counter(row[0] for row in images).values()) == {1, 2, 3}
    assert {row[1] for row in images} == {"0", "1", "2"}
    assert max(len(",".join(row[1:])) for row in texts) < 50
    with Image.open(tmp_path / "r" / "images" / images[0][2]) as photo:
        assert photo.size == (192, 240)
    assert not (tmp_path / "r" / "videos").exists()


@pytest.mark.parametrize(("domains", "expected"), [(["page", "session"], "'session' cannot be drawn"), ([], "none is")])
def test_domains_that_cannot_be_drawn_are_refused(domains, expected, tmp_path):
    with pytest.raises(UsageError, match=rf"domains: {expected}.*; expected some of page, video, live, review"):
        write_release(tmp_path / "r", products=2, seed=1, domains=domains, progress=False)


def test_other_domains_come_last_so_that_the_rows_of_the_official_files_keep_their_order():
    names = release_module._file_names()
    assert not [name for name in names[:18] if "review" in name]
    assert names[:3] == [f"training_{pairs}" for pairs, _, _ in SAMPLE_FILES]
    assert len(names) == 24
