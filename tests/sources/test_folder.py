import csv
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.errors import ReleaseError
from rope.sources.folder import find_release
from tests.sources.other_releases import write_folder, write_image, write_video
from tests.sources.staged import append, frames, stage


def test_media_are_found_by_the_id_of_a_sample(tmp_path):
    tables, faults = stage(find_release(write_folder(tmp_path)))
    assert faults == []
    assert frames(tables, "validation_page") == [("p1", 0, "pages/p1.jpg"), ("p2", 0, "pages/p2.png")]
    assert frames(tables, "validation_video") == [("v2", 9, "videos/v2/a9.jpg"), ("v2", 10, "videos/v2/a10.jpg")]
    assert [row["video"] for row in tables["samples_validation_video"]] == ["videos/v1.mp4", None]
    assert tables["samples_validation_page"][0]["text"] == "a red cup, 0.3 l"
    assert [row["sample_id"] for row in tables["samples_train_page"]] == ["p3"]


def test_parquet_says_the_same_as_csv(tmp_path):
    expected = stage(find_release(write_folder(tmp_path)))[0]
    with (tmp_path / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = [{key: value or None for key, value in row.items()} for row in csv.DictReader(file)]
    (tmp_path / "samples.csv").unlink()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "samples.parquet")
    assert stage(find_release(tmp_path))[0] == expected


def test_numbers_in_parquet_are_ids_too(tmp_path):
    write_image(tmp_path / "pages" / "7.jpg")
    pq.write_table(pa.table({"domain": ["page"], "sample_id": [7], "product_id": [1]}), tmp_path / "samples.parquet")
    (row,) = stage(find_release(tmp_path))[0]["samples_validation_page"]
    assert (row["sample_id"], row["product_id"]) == ("7", "1")


FAULTS = [
    # row, files made for it, file and line of the fault, kind, subject
    ("shop,p9,cup,,", [], "samples.csv", 8, "unknown_domain", "p9: shop; there are page, video, live"),
    ("page,p9,,,", [], "samples.csv", 8, "bad_row", "page, p9, "),
    ("page,p9,cup,,test", [], "samples.csv", 8, "unknown_split", "p9: test; there are train and validation"),
    ("page,p9,cup,a,validation,b", [], "samples.csv", 8, "bad_row", ", , "),
    ("page,p9,cup,,", [], "samples.csv", 8, "no_image", "p9"),
    ("page,p1,cup,,", [], "samples.csv", 8, "product_conflict", "p1"),
    ("page,p9,cup,,", ["pages/p9.jpg", "pages/p9.png"], "samples.csv", 8, "ambiguous_media", "p9"),
    ("page,p9,cup,,", ["pages/p9.mp4"], "samples.csv", 8, "ambiguous_media", "p9"),
    ("video,v9,cup,,", ["videos/v9/a.mp4", "videos/v9/1.jpg"], "samples.csv", 8, "ambiguous_media", "v9"),
    ("video,v9,cup,,", ["videos/v9/first.jpg"], "videos/v9/first.jpg", 0, "bad_number", "v9"),
    ("video,v9,cup,,", ["videos/v9/1.txt"], "videos/v9/1.txt", 0, "unreadable_image", "v9"),
    (
        "video,v9,cup,,",
        ["videos/v9/a1.jpg", "videos/v9/b1.jpg"],
        "samples.csv",
        8,
        "frame_conflict",
        "v9, 1, videos/v9/a1.jpg",
    ),
]


@pytest.mark.parametrize(("row", "files", "file", "line", "kind", "subject"), FAULTS)
def test_faults_are_named_by_file_and_line(row, files, file, line, kind, subject, tmp_path):
    append(write_folder(tmp_path) / "samples.csv", f"{row}\n")
    for name in files:
        (write_image if name.endswith((".jpg", ".png")) else write_video)(tmp_path / name)
    assert (file, line, kind, subject) in stage(find_release(tmp_path))[1]


def test_a_long_text_is_one_field(tmp_path):
    append(write_folder(tmp_path) / "samples.csv", f"page,p9,cup,{'长' * 131_073},\n")
    write_image(tmp_path / "pages" / "p9.jpg")
    tables, faults = stage(find_release(tmp_path))
    assert faults == []
    assert len(tables["samples_validation_page"][2]["text"]) == 131_073


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("samples.csv.gz", lambda text: gzip.compress(text.encode())),
        ("samples.csv", lambda text: text.encode("utf-16")),
        ("samples.csv", lambda text: text.replace("\n", "\r").encode()),
        ("samples.csv", lambda text: text.replace("domain,", " Domain , ").encode()),
    ],
)
def test_a_table_may_be_written_in_other_ways(name, content, tmp_path):
    expected = stage(find_release(write_folder(tmp_path)))
    text = (tmp_path / "samples.csv").read_text("utf-8")
    (tmp_path / "samples.csv").unlink()
    (tmp_path / name).write_bytes(content(text))
    assert stage(find_release(tmp_path)) == expected


def test_a_line_in_another_encoding_is_a_fault_of_its_own(tmp_path):
    path = write_folder(tmp_path) / "samples.csv"
    path.write_bytes(path.read_bytes() + b"page,p9,cup,caf\xe9,\n")
    tables, faults = stage(find_release(tmp_path))
    assert faults == [("samples.csv", 8, "bad_encoding", "p9")]
    assert len(tables["samples_validation_page"]) == 2


def test_an_encoding_that_is_given_is_used(tmp_path):
    path = write_folder(tmp_path) / "samples.csv"
    path.write_bytes(path.read_text("utf-8").replace("a blue cup", "蓝色杯子").encode("gb18030"))
    tables, faults = stage(find_release(tmp_path, "gb18030"))
    assert (faults, tables["samples_validation_page"][1]["text"]) == ([], "蓝色杯子")


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("ids", "files", "media", "faults"),
    [
        ([COMPOSED], [f"{DECOMPOSED}.jpg"], {COMPOSED: f"{DECOMPOSED}.jpg"}, []),
        ([DECOMPOSED], [f"{COMPOSED}.jpg"], {DECOMPOSED: f"{COMPOSED}.jpg"}, []),
        (
            [COMPOSED, DECOMPOSED],
            [f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"],
            {COMPOSED: f"{COMPOSED}.jpg", DECOMPOSED: f"{DECOMPOSED}.jpg"},
            [],
        ),
        ([COMPOSED, DECOMPOSED], [f"{DECOMPOSED}.jpg"], {DECOMPOSED: f"{DECOMPOSED}.jpg"}, ["no_image"]),
        (["\u212b"], ["\u00c5.jpg", "A\u030a.jpg"], {}, ["ambiguous_media"]),
        (["\u212b", "\u00c5"], ["A\u030a.jpg"], {}, ["ambiguous_media", "ambiguous_media"]),
        (["p9.jpg"], ["p9.jpg"], {"p9.jpg": "p9.jpg"}, []),
        (["p9.JPG"], ["p9.jpg"], {}, ["no_image"]),
        (["p9.jpg"], ["p9.jpg", "p9.png"], {"p9.jpg": "p9.jpg"}, []),
        (["p9.jpg", "p9.png"], ["p9.jpg", "p9.png"], {"p9.jpg": "p9.jpg", "p9.png": "p9.png"}, []),
        (["p9.jpg", "p9"], ["p9.jpg"], {"p9": "p9.jpg"}, ["no_image"]),
        (["p9.jpg"], ["p9.jpg.png", "p9.jpg"], {"p9.jpg": "p9.jpg.png"}, []),
        (["1.5"], ["1.jpg"], {}, ["no_image"]),
        ([f"{COMPOSED}.jpg"], [f"{DECOMPOSED}.jpg"], {f"{COMPOSED}.jpg": f"{DECOMPOSED}.jpg"}, []),
    ],
)
def test_ids_that_are_not_exactly_the_names_of_files(ids, files, media, faults, tmp_path):
    rows = ["domain,sample_id,product_id", *(f"page,{name},cup" for name in ids)]
    (tmp_path / "samples.csv").write_text("\n".join(rows), "utf-8")
    for name in files:
        write_image(tmp_path / "pages" / name)
    tables, found = stage(find_release(tmp_path))
    assert {name: image for name, _, image in frames(tables, "validation_page")} == {
        name: f"pages/{file}" for name, file in media.items()
    }
    assert [kind for _, _, kind, _ in found] == faults


def test_an_id_with_the_suffix_of_its_video_and_the_sound_beside_an_image(tmp_path):
    rows = ["domain,sample_id,product_id", "video,v1.mp4,cup", "live,l1.jpg,cup"]
    (tmp_path / "samples.csv").write_text("\n".join(rows), "utf-8")
    write_video(tmp_path / "videos" / "v1.mp4")
    write_image(tmp_path / "lives" / "l1.jpg")
    (tmp_path / "lives" / "l1.wav").write_bytes(b"RIFF")
    tables, faults = stage(find_release(tmp_path))
    assert [row["video"] for row in tables["samples_validation_video"]] == ["videos/v1.mp4"]
    assert [row["audio"] for row in tables["samples_validation_live"]] == ["lives/l1.wav"]
    assert faults == []


def test_an_id_of_megabytes_is_a_fault(tmp_path):
    append(write_folder(tmp_path) / "samples.csv", f"page,{'y' * 3_000_000},cup,,\n")
    (fault,) = stage(find_release(tmp_path))[1]
    assert (fault[1:3], len(fault[3])) == ((8, "long_id"), 100)


def test_the_line_is_right_after_blank_lines_and_texts_of_several_lines(tmp_path):
    append(write_folder(tmp_path) / "samples.csv", '\npage,p8,cup,"two\nlines",\npage,,cup,,\n')
    assert ("samples.csv", 11, "bad_row", "page, , cup") in stage(find_release(tmp_path))[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "domain,sample_id\npage,p1\n",
            "columns are domain, sample_id; expected domain, sample_id, product_id and any",
        ),
        ("domain,sample_id,product_id,price\n", "columns are domain, sample_id, product_id, price; expected"),
        (
            "domain;sample_id;product_id\npage;p1;a\n",
            "columns are domain;sample_id;product_id; expected .*by semicolons",
        ),
        ("domain\tsample_id\tproduct_id\npage\tp1\ta\n", "it looks like fields separated by tabs"),
        (b"<html><body>Login</body></html>", "it is an HTML page"),
        ("domain,sample_id,product_id\n", "no rows"),
        ('domain,sample_id,product_id\n"page', "cannot be read as CSV"),
    ],
)
def test_a_table_of_another_form_is_refused(content, message, tmp_path):
    write_folder(tmp_path)
    (tmp_path / "samples.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReleaseError, match=message):
        find_release(tmp_path)


def test_there_must_be_one_table_and_some_media(tmp_path):
    (tmp_path / "samples.csv").write_text("domain,sample_id,product_id\npage,p1,cup\n")
    with pytest.raises(ReleaseError, match="none of the folders pages, videos, lives"):
        find_release(tmp_path)
    (tmp_path / "samples.parquet").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"samples.csv and samples.parquet; expected one of"):
        find_release(tmp_path)
    (tmp_path / "samples.csv").unlink()
    with pytest.raises(ReleaseError, match="cannot be read as Parquet"):
        find_release(tmp_path)


def test_a_new_frame_makes_it_another_release(tmp_path):
    before = find_release(write_folder(tmp_path)).listings
    write_image(tmp_path / "videos" / "v2" / "a11.jpg")
    assert find_release(tmp_path).listings != before


def test_a_folder_and_a_row_make_a_domain(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / "reviews" / "r1" / "2.jpg")
    write_image(tmp_path / "reviews" / "r1" / "1.jpg")
    (tmp_path / "notes").mkdir()
    with (tmp_path / "samples.csv").open("a", encoding="utf-8") as file:
        file.write(
            "review,r1,red-cup,good,\nreview,r2,red-cup,a text only,\nreview,r3,red-cup,,\nsession,s1,red-cup,seen,\n"
        )
    source = find_release(tmp_path)
    tables, faults = stage(source)
    assert source.domains == ("page", "video", "live", "review")
    assert [(row["sample_id"], row["text"]) for row in tables["samples_validation_review"]] == [
        ("r1", "good"),
        ("r2", "a text only"),
    ]
    assert frames(tables, "validation_review") == [("r1", 1, "reviews/r1/1.jpg"), ("r1", 2, "reviews/r1/2.jpg")]
    assert [(kind, subject) for _, _, kind, subject in faults] == [
        ("no_image", "r3"),
        ("unknown_domain", "s1: session; there are page, video, live, review"),
    ]
