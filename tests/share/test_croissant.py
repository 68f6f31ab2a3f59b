"""The description is valid Croissant 1.1, and mlcroissant reads the rows of the shards by it."""

import json

import pytest

from rope.dataset.build import build_dataset
from rope.files import sha256_of
from rope.share.croissant import write_croissant
from tests.dataset.conftest import jpeg, small_tables
from tests.stored import RELEASE, release_counts

mlcroissant = pytest.importorskip("mlcroissant", reason="needs mlcroissant")

# mlcroissant itself uses what rdflib and pandas have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


TABLES = ["pages", "videos", "lives", "products"]


def plain(value):
    """mlcroissant gives texts as UTF-8, and images decoded."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def test_it_is_valid_and_lacks_only_what_a_dataset_does_not_know(small):
    issues = mlcroissant.Dataset(jsonld=write_croissant(small)).metadata.ctx.issues
    assert not issues.errors
    assert sorted(warning.split('"')[1].split("/")[-1] for warning in issues.warnings) == ["citeAs", "datePublished"]


@pytest.mark.parametrize("config", TABLES)
def test_rows_are_those_of_the_shards(config, small):
    dataset = mlcroissant.Dataset(jsonld=write_croissant(small))
    expected = [
        {"split": split, **row} for split in ("train", "validation") for row in small_tables()[f"{config}/{split}"]
    ]
    got = [{name.split("/")[1]: plain(value) for name, value in row.items()} for row in dataset.records(config)]
    for row in expected if config != "products" else []:
        row["frames"] = [(12, 12)] * len(row["frames"])
    for row in got if config != "products" else []:
        row["frames"] = [image.size for image in row["frames"]]
    assert got == expected


def test_rows_of_photos_can_be_read(tmp_path):
    build_dataset(RELEASE, tmp_path / "grocery", shard_bytes=4 << 20, progress=False)
    dataset = mlcroissant.Dataset(jsonld=write_croissant(tmp_path / "grocery"))
    rows = list(dataset.records("lives"))
    assert [sum(row["lives/split"] == split for row in rows) for split in (b"train", b"validation")] == [
        kinds["lives"] for kinds in release_counts().values()
    ]
    assert all(max(image.size) > 100 for image in rows[0]["lives/frames"])


def test_files_with_picture_or_sound_come_as_they_are_stored(tmp_path):
    pytest.importorskip("av")
    from tests.media.sounds import tone, write

    live, video = write(tone(0.5), codec="flac", container="flac", n_frames=0), write(tone(0.5))
    files = {"pages/p.jpg": jpeg(1), "lives/l/1.jpg": jpeg(2), "lives/l.flac": live, "lives/v.mp4": video}
    files["samples.csv"] = b"domain,sample_id,product_id\npage,p,1\nlive,l,1\nlive,v,1\n"
    for name, content in files.items():
        path = tmp_path / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    build_dataset(tmp_path / "release", tmp_path / "out", progress=False)
    dataset = mlcroissant.Dataset(jsonld=write_croissant(tmp_path / "out"))
    rows = {row["lives/sample_id"]: row for row in dataset.records("lives")}
    assert (rows[b"l"]["lives/audio"], rows[b"v"]["lives/video"]) == (live, video)
    assert (rows[b"l"]["lives/video"], rows[b"v"]["lives/audio"]) == (None, None)
    [lives] = [one for one in dataset.metadata.record_sets if one.name == "lives"]
    kinds = {field.name: field.data_types for field in lives.fields}
    assert (kinds["audio"], kinds["video"]) == (
        [mlcroissant.DataType.AUDIO_OBJECT],
        [mlcroissant.DataType.VIDEO_OBJECT],
    )


def test_the_same_dataset_gives_the_same_bytes(small):
    first = write_croissant(small).read_bytes()
    assert write_croissant(small).read_bytes() == first


def test_it_vouches_for_the_manifest(small):
    (described,) = [file for file in json.loads(write_croissant(small).read_text())["distribution"] if "sha256" in file]
    assert (described["contentUrl"], described["sha256"]) == ("rope.json", sha256_of(small / "rope.json"))


@pytest.mark.parametrize("name", ["数据", 'with "quotes"', "a/b c"])
def test_any_name_is_valid(name, small):
    path = small / "rope.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": name}))
    assert mlcroissant.Dataset(jsonld=write_croissant(small)).metadata.name == name
