"""`rope fetch --open`, from a server of this machine."""

import io

import pytest
from PIL import Image

from rope.dataset.build import build_dataset
from rope.errors import UsageError
from rope.fetch.open_sets import OPEN_SETS, prepare
from rope.sources import grocery
from tests.fetch.conftest import ledger_of, limits
from tests.sources.abo import write_abo

SAMPLES = ("100024", "100055", "300035", "200011", "100183", "300135", "200123")


@pytest.fixture
def few(monkeypatch):
    """The rows of seven samples: two products with a sample or two of every domain."""
    header, *rows = grocery._content().decode().splitlines()
    kept = [row for row in rows if row.split("\t")[3] in SAMPLES]
    monkeypatch.setattr(grocery, "_content", lambda: "\n".join([header, *kept]).encode())
    return {picture.path: drawn(picture.thumbnail) for picture in grocery.pictures()}


def drawn(thumbnail: str) -> bytes:
    """A picture with a thumbnail."""
    buffer = io.BytesIO()
    levels = Image.frombytes("L", (4, 4), bytes.fromhex(thumbnail))
    levels.resize((64, 64), Image.Resampling.NEAREST).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def fetch_grocery(rope, server, to, *more):
    return rope(
        "fetch", "--open", "grocery", "--out", to, "--prefix", server.prefix, "--allow-private", "--tries", 1, *more
    )


def test_grocery_is_fetched_with_its_terms_and_built(few, rope, serve, tmp_path):
    server, to = serve(bodies=few.__getitem__), tmp_path / "grocery"
    code, out, err = fetch_grocery(rope, server, to)
    assert (code, err) == (0, "")
    assert "MIT licence, copyright (c) 2019 Marcus Klasson" in out
    assert "WACV 2019" in out
    assert f"{to}: {len(few)} of {len(few)} images are there, 0 are missing" in out
    assert (to / "LICENSE").read_text("utf-8").startswith("MIT License")
    assert set(server.requests) == set(few)
    report = build_dataset(to, tmp_path / "out", progress=False)
    assert report.faults == ()
    assert report.manifest.counts["validation"] == {"pages": 2, "videos": 1, "lives": 1, "products": 1}
    assert report.manifest.source["kind"] == "grocery"


def test_a_wrong_picture_is_given_up_and_a_repeated_fetch_goes_on(few, rope, serve, tmp_path):
    first, second, third = list(few)[:3]
    served = few | {first: few[second]}
    fates = {third: "404"}
    server = serve(bodies=lambda name: served[name], behave=lambda name: fates.get(name, "good"))
    to = tmp_path / "grocery"
    fetch_grocery(rope, server, to)
    lost = {one.image: (one.reason, one.detail) for one in ledger_of(to)}
    assert set(lost) == {first, third}
    assert lost[first][0] == "wrong_checksum"
    assert "shows another picture" in lost[first][1]
    assert not (to / first).exists()
    served[first] = few[first]
    fates.clear()
    before = server.requests.copy()
    _, out, _ = fetch_grocery(rope, server, to, "--retry-failed")
    assert set((server.requests - before).keys()) == {first, third}
    assert f"{len(few)} of {len(few)} images are there" in out


def test_hashes_of_ones_own_go_before_thumbnails(few, serve, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text(f"{'0' * 64}  {next(iter(few))}\n")
    _, expected = prepare("grocery", tmp_path / "to", limits=limits(), checksums=mine)
    lines = expected.read_text().splitlines()
    assert lines[0] == mine.read_text().strip()
    assert len(lines) == len(few) + 1
    assert lines[1].startswith("thumbnail:")


@pytest.fixture
def bucket(tmp_path):
    """The files of a made ABO by their paths, with its licence; a folder may stand for one that has been served."""
    folder = write_abo(tmp_path / "bucket")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch_abo(rope, server, to, *more):
    options = ("--prefix", server.prefix, "--allow-private", "--tries", 1, *more)
    return rope("fetch", "--open", "abo", "--out", to, *options)


def test_abo_is_fetched_lists_first_and_built(bucket, rope, serve, tmp_path):
    server, to = serve(bodies=bucket.__getitem__), tmp_path / "abo"
    code, out, err = fetch_abo(rope, server, to, "--frames", 8)
    assert (code, err) == (0, "")
    for words in ("CC BY 4.0", "older copies", "Amazon.com", "have not been seen", "60 of 60 images are there"):
        assert words in out
    assert (to / "LICENSE-CC-BY-4.0.txt").is_file()
    report = build_dataset(to, tmp_path / "out", n_frames=8, progress=False)
    assert report.faults == ()
    _, out, _ = fetch_abo(rope, server, to)
    assert "fetched 96 now" in out
    assert max(server.requests.values()) == 1
    assert build_dataset(to, tmp_path / "all", progress=False).faults == ()


def test_a_list_that_comes_broken_is_fetched_again(bucket, rope, serve, tmp_path):
    name, to = "spins/metadata/spins.csv.gz", tmp_path / "abo"
    served = bucket | {name: bucket[name][:-9]}
    server = serve(bodies=lambda asked: served[asked])
    code, _, err = fetch_abo(rope, server, to)
    assert code == 1
    assert "spins.csv.gz: truncated (does not unpack" in err
    assert "1 of 20 files of metadata could not be fetched; repeat the command to go on" in " ".join(err.split())
    assert not (to / name).exists()
    served[name] = bucket[name]
    code, out, _ = fetch_abo(rope, server, to)
    assert (code, "156 of 156 images are there" in out) == (0, True)
    assert server.requests["images/metadata/images.csv.gz"] == 1


@pytest.mark.parametrize("answer", ["403", "404"])
def test_what_the_bucket_lacks_is_left_to_the_reader_unless_nothing_goes_without(answer, bucket, rope, serve, tmp_path):
    lacking = {"listings/metadata/listings_f.json.gz", "benchmarks/abo-mvr.csv.xz", "LICENSE-CC-BY-4.0.txt"}
    server = serve(bodies=bucket.__getitem__, behave=lambda name: answer if name in lacking else "good")
    code, out, _ = fetch_abo(rope, server, tmp_path / "abo", "--frames", 1)
    assert (code, "18 of 18 images are there" in out) == (0, True)
    lacking.add("images/metadata/images.csv.gz")
    code, _, err = fetch_abo(rope, server, tmp_path / "other")
    assert (code, "images.csv.gz: http_status" in err) == (1, True)


def test_a_page_in_the_place_of_a_list_is_refused(bucket, rope, serve, tmp_path):
    server = serve(bodies=bucket.__getitem__, behave=lambda name: "html" if "listings_3" in name else "good")
    code, _, err = fetch_abo(rope, server, tmp_path / "abo")
    assert (code, "listings_3.json.gz: not_a_file" in err) == (1, True)


def test_the_address_is_that_of_one_commit():
    assert OPEN_SETS["grocery"].prefix.endswith(f"/{grocery.COMMIT}/")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"holds thesis\.tex, and not an open dataset"):
        prepare("grocery", tmp_path / "mine", limits=limits())
    prepare("grocery", tmp_path / "to", limits=limits())
    with pytest.raises(UsageError, match="something else: it is 'grocery' there and 'abo' now"):
        prepare("abo", tmp_path / "to", limits=limits())
    with pytest.raises(UsageError, match="no such file; expected a list of checksums"):
        prepare("grocery", tmp_path / "to", limits=limits(), checksums=tmp_path / "none")


@pytest.mark.parametrize("arguments", [[], ["RELEASE", "--open", "abo"], ["--open", "abo", "--format", "abo"]])
def test_one_of_release_and_open_is_named(arguments, rope, tmp_path):
    code, _, err = rope("fetch", *arguments, "--out", tmp_path / "to")
    assert code == 2
    assert "name the folder of a release, with --format if need be, or a dataset with --open" in err
