"""A release of which nothing can be used: the error names the file, what it looks like, and what is wrong with it."""

import gzip
import re

import pytest

from rope.dataset.build import build_dataset
from rope.errors import ReleaseError
from rope.sources.formats import find_source
from tests.releases import tiny_release, write_release
from tests.sources.other_releases import WRITERS, write_folder, write_image


def build(release, out, **options):
    return build_dataset(release, out, progress=False, **options)


def refusal(release, out, **options):
    with pytest.raises(ReleaseError) as failure:
        build(release, out, **options)
    assert failure.value.exit_code == 1
    assert "\n" not in str(failure.value)
    return str(failure.value)


def rewritten(folder, edit, names):
    """The tiny release with the lines of some files written in another way."""
    write_release(folder, tiny_release())
    for path in folder.glob(names):
        path.write_bytes(edit(path.read_text("utf-8")))
    return folder


ALL = "*.txt"
TITLES = "training_page_titles.txt"
PAGES = "training_product_pages_pair.txt"


@pytest.mark.parametrize(
    ("edit", "names", "expected"),
    [
        (
            lambda text: text.replace(", ", "\t").encode(),
            ALL,
            f"{PAGES}: 2 of 2 rows cannot be read .so it is with 17 more",
        ),
        (lambda text: text.replace(", ", "\t").encode(), ALL, f"separated by tabs: 2 x bad_row .{PAGES}:1: 'a1.tpa1'"),
        (lambda text: text.replace(", ", "; ").encode(), PAGES, "fields separated by semicolons"),
        (lambda text: text.replace(", ", "\uff0c").encode(), PAGES, "fields separated by full-width commas"),
        (
            lambda text: text.replace("a", '"a').replace("\n", '"\n').replace(",", '",').encode(),
            PAGES,
            "quotation marks",
        ),
        (lambda text: text.replace("text", "标题").encode("gb18030"), TITLES, f"{TITLES}: 2 of 2 .*--encoding gb18030"),
        (
            lambda text: text.replace("text", "caf\xe9").encode("latin-1"),
            TITLES,
            "another encoding than UTF-8; say which",
        ),
        (
            lambda text: text.replace("text", "標題商品").encode("big5"),
            TITLES,
            "another encoding than UTF-8; say which",
        ),
        (lambda text: text.replace("text", "日本語の題").encode("shift-jis"), TITLES, "another encoding than UTF-8"),
        (lambda text: text.replace(", ", "’, ‘").encode(), TITLES, f"{TITLES}: none of its 2 rows names"),
        (lambda text: re.sub("(?m)^([^,]*)", r"'\1'", text).encode(), TITLES, "quotation marks: 2 x quoted_id"),
        (lambda text: b'{"message": "Not Found", "status": 404}', TITLES, "looks like JSON: 1 x no_product"),
        (
            lambda text: b"<?xml version='1.0'?>\n<Error>NoSuchKey</Error>",
            TITLES,
            "2 of 2 rows .* looks like HTML or XML",
        ),
        (lambda text: text.encode("utf-16-le"), TITLES, f"{TITLES}: expected text, but it is UTF-16 without a byte"),
        (lambda text: b"<html>Log in, please</html>", TITLES, f"{TITLES}: expected text, but it is an HTML page"),
        (lambda text: b"Log in\n", TITLES, f"{TITLES}: 1 of 1 rows cannot be read: 1 x bad_row .{TITLES}:1: 'Log in'"),
        (
            lambda text: text.replace(",", ".0,").encode(),
            TITLES,
            f"{TITLES}: none of its 2 rows names .* 2 x no_product",
        ),
        (lambda text: text.replace(", 30,", ", 1.5,").replace("120,", "x,").encode(), "*_frames.txt", "4 x bad_number"),
        (lambda text: text.replace("pa", "0pa").encode(), PAGES, f"{PAGES}: none of its 2 rows names .* 2 x no_image"),
    ],
)
def test_the_file_is_named_and_what_it_looks_like(edit, names, expected, tmp_path):
    release = rewritten(tmp_path / "release", edit, names)
    said = refusal(release, tmp_path / "out", media="reference")
    assert re.search(expected, said), said
    assert "image-root" not in said


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        ("training_page_images.txt", "training_page_images.txt: has no rows, though the files next to it have samples"),
        (PAGES, f"{TITLES}: none of its 2 rows names .* .so it is with 1 more files.: 2 x no_product"),
    ],
)
def test_an_empty_file_that_others_need_is_named(empty, expected, tmp_path):
    said = refusal(write_release(tmp_path / "release", tiny_release() | {empty: []}), tmp_path / "out")
    assert re.search(expected, said), said


def test_texts_may_be_missing(tmp_path):
    release = write_release(tmp_path / "release", tiny_release() | {TITLES: []})
    assert build(release, tmp_path / "out").manifest.faults == {"no_text": 2}


def test_categories_of_other_products_are_refused(tmp_path):
    lines = tiny_release() | {"products.tsv": ["product_id\tcategory", "A1\tcup"]}
    said = refusal(write_release(tmp_path / "release", lines), tmp_path / "out")
    assert "products.tsv: none of its 1 rows names a sample or product that the files next to it have" in said


def test_the_faults_stay_and_do_not_stand_in_the_way(tmp_path):
    release = rewritten(tmp_path / "release", lambda text: text.replace(", ", "\t").encode(), PAGES)
    assert refusal(release, tmp_path / "out").endswith(f"all faults are in {tmp_path / 'out' / 'faults.tsv'}")
    listed = (tmp_path / "out" / "faults.tsv").read_text("utf-8").splitlines()
    assert f'{PAGES}\t1\tbad_row\t"a1\tpa1"' in listed
    write_release(release, tiny_release())
    assert build(release, tmp_path / "out").faults == ()
    assert (tmp_path / "out" / "faults.tsv").read_text("utf-8").splitlines() == ["file\tline\tkind\tsubject"]


def test_the_faults_of_images_stay_too(tmp_path):
    release = write_release(tmp_path / "release", tiny_release())
    for image in (release / "images").glob("*a*.jpg"):
        image.unlink()
    said = refusal(release, tmp_path / "out")
    assert "nothing is left of the split train: 14 x unreadable_image (la1-120.jpg: 'la1'" in said
    assert "with --image-root, or build with --media reference" in said
    assert len((tmp_path / "out" / "faults.tsv").read_text("utf-8").splitlines()) == 21


@pytest.mark.parametrize("edit", [gzip.compress, lambda content: content.decode().encode("utf-16")])
def test_what_can_be_read_is_read(edit, tmp_path):
    release = write_release(tmp_path / "release", tiny_release())
    expected = build(release, tmp_path / "out").manifest
    for path in release.glob("*.txt"):
        path.write_bytes(edit(path.read_bytes()))
    assert build(release, tmp_path / "other").manifest.fingerprint == expected.fingerprint
    for path in release.glob("*.txt"):
        path.rename(f"{path}.gz")
    manifest = build(release, tmp_path / "third").manifest
    assert (manifest.fingerprint, manifest.faults) == (expected.fingerprint, {})
    assert build(release, tmp_path / "third").is_new is False


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_may_be_compressed(name, tmp_path):
    release = WRITERS[name](tmp_path / "release")
    expected = build(release, tmp_path / "out").manifest.fingerprint
    for file in find_source(release).files:
        (release / f"{file}.gz").write_bytes(gzip.compress((release / file).read_bytes()))
        (release / file).unlink()
    assert build(release, tmp_path / "other").manifest.fingerprint == expected


def own(folder, *rows):
    (folder / "samples.csv").parent.mkdir(parents=True, exist_ok=True)
    (folder / "samples.csv").write_text("\n".join(["domain,sample_id,product_id,split", *rows]), "utf-8")
    write_image(folder / "pages" / "p1.jpg")
    return folder


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            ["page,p1,a,test"],
            "samples.csv: 1 of 1 rows .* 1 x unknown_split .*:2: 'p1: test; there are train and validation'",
        ),
        (["Page,p1,a,"], "1 x unknown_domain .*:2: 'p1: Page; there are page'"),
        (["page,p1,a,", "review,r1,a,", "video,v1,a,"], "2 x unknown_domain .*'r1: review; there are page'"),
        (["page,p1,a,train", "page,p1,b,validation"], "nothing is left of the split train: 1 x sample_in_both_splits"),
        (["page,p1,a,", "page,p1,b,"], "nothing is left of the split validation: 2 x product_conflict"),
        (["page,p2,a,", "page,p3,b,"], "nothing is left of the split validation: 2 x no_image .*:2: 'p2'"),
    ],
)
def test_a_folder_of_which_nothing_is_left(rows, expected, tmp_path):
    said = refusal(own(tmp_path / "own", *rows), tmp_path / "out")
    assert re.search(expected, said), said
    assert "image-root" not in said
    assert (tmp_path / "out" / "faults.tsv").is_file()


def test_an_unknown_split_among_others_is_a_fault_of_its_row(tmp_path):
    write_folder(tmp_path / "own")
    with (tmp_path / "own" / "samples.csv").open("a", encoding="utf-8") as file:
        file.write("page,p2,blue-cup,,test\n")
    assert build(tmp_path / "own", tmp_path / "out").manifest.faults["unknown_split"] == 1


def test_names_and_subjects_of_megabytes_are_cut(tmp_path):
    lines = tiny_release()
    lines["training_page_titles.txt"] += ["#" * 3_000_000 + ", t", "ghost" + "y" * 4000 + ", t", "#x, t"]
    lines["test_video_frames.txt"] += [f"vb1, 7, {'i' * 3_000_000}.png", 'vb1, 8, #"a\tb".png']
    report = build(write_release(tmp_path / "release", lines), tmp_path / "out")
    assert report.manifest.faults == {"long_id": 2, "no_product": 2, "unreadable_image": 1}
    listed = (tmp_path / "out" / "faults.tsv").read_text("utf-8").splitlines()
    assert (len(listed), max(map(len, listed)) < 1100) == (6, True)
    assert max(len(example) for fault in report.faults for example in fault.examples) < 400
