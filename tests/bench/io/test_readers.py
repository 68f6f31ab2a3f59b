import json
import pickle
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rope.bench.io.cope_dumps import read_dumps
from rope.bench.io.embeddings import embeddings_sha256
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.domain import DOMAINS
from rope.errors import FileError, UsageError
from tests.stored import facts

IDS = ["7", "12", "9"]
# Values that float16, bfloat16 and text hold exactly.
VECTORS = {domain: (np.arange(12).reshape(3, 4) - 5.5 + i).astype(np.float32) for i, domain in enumerate(DOMAINS)}


def save_parquet(folder, dtype, *, ids=IDS, listing=pa.list_, name="all.parquet"):
    columns = {
        "domain": pa.array([domain for domain in DOMAINS for _ in IDS]),
        "sample_id": pa.array([sample_id for _ in DOMAINS for sample_id in ids]),
        "embedding": pa.array(
            [row for domain in DOMAINS for row in VECTORS[domain].astype(dtype)], listing(pa.from_numpy_dtype(dtype))
        ),
    }
    pq.write_table(pa.table(columns), folder / name)


def save_npy(folder, dtype, *, stem="{}", text=True):
    for domain in DOMAINS:
        name = stem.format(domain)
        np.save(folder / f"{name}.npy", VECTORS[domain].astype(dtype))
        if text:
            (folder / f"{name}.ids.txt").write_text("\n".join(IDS) + "\n")
        else:
            np.save(folder / f"{name}_ids.npy", np.array(IDS, np.int64))


def save_npz(folder, dtype, *, ids=tuple(IDS)):
    arrays = {domain: VECTORS[domain].astype(dtype) for domain in DOMAINS}
    np.savez(folder / "all.npz", **arrays, **{f"{domain}_ids": np.array(ids) for domain in DOMAINS})


def save_safetensors(folder, dtype, *, ids=tuple(IDS)):
    """Written by hand, so that bfloat16 needs no library."""
    header, blobs, offset = {"__metadata__": {f"{domain}_ids": json.dumps(ids) for domain in DOMAINS}}, [], 0
    for domain in DOMAINS:
        wide = VECTORS[domain]
        blob = {
            "F16": wide.astype("<f2"),
            "BF16": (wide.view("<u4") >> 16).astype("<u2"),
            "F32": wide,
            "I32": wide.astype("<i4"),
        }[dtype].tobytes()
        header[domain] = {"dtype": dtype, "shape": [3, 4], "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    encoded = json.dumps(header).encode()
    (folder / "all.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(blobs))


def line(*keys, vector):
    return "\t".join([*keys, ",".join(str(float(value)) for value in vector)]) + "\n"


def save_dumps(folder, _dtype):
    """Two shards; the second repeats the first row, as a distributed sampler pads."""
    for kind, domain in (("item", "page"), ("photo", "video"), ("live", "live")):
        span = ("100", "200") if kind == "live" else ()
        rows = [line(sample_id, *span, vector=vector) for sample_id, vector in zip(IDS, VECTORS[domain], strict=True)]
        (folder / f"0_{kind}").write_text(rows[0] + rows[1])
        (folder / f"1_{kind}").write_text(rows[2] + rows[0])


@pytest.mark.parametrize(
    ("save", "stored"),
    [
        (lambda folder: save_parquet(folder, np.float32), "float32"),
        (lambda folder: save_parquet(folder, np.float16), "float16"),
        (lambda folder: save_parquet(folder, np.float64, listing=pa.large_list), "float64"),
        (
            lambda folder: save_parquet(
                folder, np.float32, ids=[int(i) for i in IDS], listing=lambda t: pa.list_(t, 4)
            ),
            "float32",
        ),
        (lambda folder: write_embeddings(folder / "w.parquet", {d: (IDS, VECTORS[d]) for d in DOMAINS}), "float32"),
        (lambda folder: save_npy(folder, np.float16), "float16"),
        (lambda folder: save_npy(folder, ">f8", stem="model.{}s", text=False), ">f8"),
        (lambda folder: save_npz(folder, np.float32), "float32"),
        (lambda folder: save_npz(folder, np.float32, ids=[int(i) for i in IDS]), "float32"),
        (lambda folder: save_safetensors(folder, "F16"), "float16"),
        (lambda folder: save_safetensors(folder, "BF16"), "bfloat16"),
        (lambda folder: save_safetensors(folder, "F32", ids=[int(i) for i in IDS]), "float32"),
        (lambda folder: save_dumps(folder, None), "text"),
    ],
)
def test_every_format_gives_the_same_vectors(save, stored, tmp_path):
    save(tmp_path)
    found = read_embeddings([tmp_path])
    assert list(found) == list(DOMAINS)
    for domain, embeddings in found.items():
        assert embeddings.sample_ids == IDS
        assert embeddings.vectors.tolist() == VECTORS[domain].tolist()
        assert embeddings.stored_dtype == stored
        assert embeddings.n_duplicates_dropped == (1 if stored == "text" else 0)
        assert embeddings_sha256(embeddings) == embeddings_sha256(
            read_embeddings([*sorted(tmp_path.iterdir())][::-1])[domain]
        )


def test_the_order_of_files_on_the_command_line_does_not_matter(tmp_path):
    for i in range(5):
        write_embeddings(tmp_path / f"{i}.parquet", {"page": ([f"{i}a", f"{i}b"], np.full((2, 3), i))})
    files = sorted(tmp_path.iterdir())
    first = read_embeddings(files)["page"]
    random.Random(0).shuffle(files)
    again = read_embeddings([*files, tmp_path, files[0]])["page"]
    assert again.sample_ids == first.sample_ids
    assert np.array_equal(again.vectors, first.vectors)


def test_parts_in_several_types_say_so(tmp_path):
    write_embeddings(tmp_path / "a.parquet", {"page": (["x"], np.ones((1, 4)))})
    np.savez(tmp_path / "b.npz", page=np.ones((1, 4), np.float16), page_ids=np.array([8]))
    assert read_embeddings([tmp_path])["page"].stored_dtype == "float16, float32"


def test_float64_is_rounded_and_what_is_too_large_becomes_infinite(tmp_path):
    np.savez(tmp_path / "a.npz", page=np.array([[0.1, 1e300]]), page_ids=np.array(["x"]))
    assert read_embeddings([tmp_path])["page"].vectors.tolist() == [[float(np.float32(0.1)), np.inf]]


def table(**columns):
    defaults = {"domain": ["page", "page"], "sample_id": ["a", "b"], "embedding": [[1.0], [2.0]]}
    return pa.table({**defaults, **columns})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (table(embedding=[[1.0], [2.0, 3.0]]), "row 2: 2 numbers, expected 1 as in row 1"),
        (table(embedding=[[1.0], None]), "row 2: the embedding is null"),
        (table(embedding=[[1.0, 2.0], [3.0, None]]), "row 2: the embedding holds a null"),
        (table(embedding=[[1], [2]]), "embedding is list<.*int64>, expected lists of float16, 32 or 64"),
        (table(embedding=[1.0, 2.0]), "embedding is double, expected lists"),
        (table(sample_id=["a", None]), "row 2: the sample_id is null"),
        (table(sample_id=[1.5, 2.5]), "sample_id is double, expected strings or integers"),
        (table(domain=["page", "pages"]), "row 2: domain 'pages', expected page, video or live"),
        (table(domain=[1, 2]), "domain is int64, expected strings"),
        (table().drop_columns(["sample_id"]), "no column sample_id; it has domain, embedding"),
        (table().append_column("domain", pa.array(["live"] * 2)), "the column domain is there 2 times; keep one"),
        (table().append_column("embedding", pa.array([[1.0]] * 2)), "the column embedding is there 2 times; keep one"),
    ],
)
def test_a_parquet_file_of_another_kind_is_refused_by_name_and_row(content, expected, tmp_path):
    pq.write_table(content, tmp_path / "bad.parquet")
    with pytest.raises(FileError, match=rf"bad\.parquet: .*{expected}"):
        read_embeddings([tmp_path])


@pytest.mark.parametrize("name", ["bad.parquet", "page.npy", "bad.npz", "bad.safetensors"])
def test_a_damaged_file_is_named(name, tmp_path):
    (tmp_path / "page.ids.txt").write_text("a\n")
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match=rf"{name}: not readable as "):
        read_embeddings([tmp_path / name])


class Explosive:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("place", ["vectors", "ids", "file"])
def test_no_pickle_is_ever_loaded(place, tmp_path):
    objects = np.array([Explosive()], object)
    vectors, ids = np.ones((1, 2)), np.array(["a"])
    np.savez(
        tmp_path / "a.npz", page=objects if place == "vectors" else vectors, page_ids=objects if place == "ids" else ids
    )
    if place == "file":
        (tmp_path / "a.npz").write_bytes(pickle.dumps(Explosive()))
    with pytest.raises(FileError, match=r"not readable as \.npz(: .*allow_pickle=False|; it is a pickle)"):
        read_embeddings([tmp_path])


@pytest.mark.parametrize("name", ["page.npy", "page.npz"])
def test_an_array_under_the_name_of_an_archive_or_the_reverse_is_refused(name, tmp_path):
    (tmp_path / "page.ids.txt").write_text("a\n")
    with (tmp_path / name).open("wb") as file:
        (np.savez if name.endswith("npy") else np.save)(file, np.ones((1, 2)))
    with pytest.raises(FileError, match=r"its content is not that of a \.np[yz] file"):
        read_embeddings([tmp_path / name])


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"page": np.ones((2, 3)), "page_ids": np.arange(3)}, r"page is an array \(2, 3\), expected \[3, dim\]"),
        ({"page": np.ones(3), "page_ids": np.arange(3)}, r"page is an array \(3,\), expected \[3, dim\]"),
        ({"page": np.ones((3, 2), int), "page_ids": np.arange(3)}, "numbers of type int64, expected float16"),
        ({"page": np.ones((3, 2)), "page_ids": np.ones(3)}, r"ids of type float64 \(3,\), expected"),
        ({"page": np.ones((3, 2))}, "the array page has no page_ids next to it"),
        ({"pages": np.ones((3, 2))}, "expected the arrays page, video or live, found pages"),
    ],
)
def test_arrays_that_are_no_embeddings_are_refused(arrays, expected, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(FileError, match=rf"a\.npz: {expected}"):
        read_embeddings([tmp_path])


def test_safetensors_of_another_kind_are_refused(tmp_path):
    save_safetensors(tmp_path, "I32")
    with pytest.raises(FileError, match="the tensor page is I32, expected F16, BF16, F32 or F64"):
        read_embeddings([tmp_path])
    save_safetensors(tmp_path, "F32", ids={"not": "a list"})
    with pytest.raises(FileError, match="no page_ids in its metadata as a JSON list"):
        read_embeddings([tmp_path])


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("clip.npy", {}, r"cannot tell the domain; end the name with page"),
        ("homepage.npy", {}, r"cannot tell the domain"),
        ("page.npy", {}, r"expected in page\.ids\.txt .* or in page_ids\.npy; neither is there"),
        ("page.npy", {"page.ids.txt": "a", "page_ids.npy": "a"}, "both are there"),
        ("0_item.txt", {}, "not a file of embeddings; expected Parquet with the columns"),
        ("README.md", {}, "not a file of embeddings"),
    ],
)
def test_a_file_of_no_known_name_is_a_usage_error(name, beside, expected, tmp_path):
    np.save(tmp_path / "any.npy", np.ones((1, 2)))
    (tmp_path / "any.npy").rename(tmp_path / name)
    for other, text in beside.items():
        (tmp_path / other).write_text(text)
    with pytest.raises(UsageError, match=expected):
        read_embeddings([tmp_path])


def test_paths_that_hold_nothing_are_usage_errors(tmp_path):
    (tmp_path / ".hidden").touch()
    with pytest.raises(UsageError, match="nothing to read; expected Parquet"):
        read_embeddings([tmp_path])
    with pytest.raises(UsageError, match=r"gone\.npz: no such file or folder"):
        read_embeddings([tmp_path / "gone.npz"])


def test_a_blank_line_among_ids_is_named(tmp_path):
    np.save(tmp_path / "page.npy", np.ones((2, 2)))
    (tmp_path / "page.ids.txt").write_text("a\n\nb\n")
    with pytest.raises(FileError, match=r"page\.ids\.txt:2: the line is blank"):
        read_embeddings([tmp_path])


def test_files_of_one_domain_must_agree_on_the_dimension(tmp_path):
    for name, dim in (("a", 2), ("b", 3)):
        np.savez(tmp_path / f"{name}.npz", page=np.ones((1, dim)), page_ids=np.array([name]))
    with pytest.raises(FileError, match=r"b\.npz: page vectors of dimension 3, expected 2 as in .*a\.npz"):
        read_embeddings([tmp_path])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("0_item", "1\t1.0,2.0\n1\t1.0,2.5\n", r"0_item:2: id '1' was at .*0_item:1 with other numbers"),
        ("0_item", "1\t1.0,2.0\n2\t1.0\n", r"0_item:2: 1 numbers, expected 2 as in .*0_item:1"),
        ("0_item", "1\t1.0,oops\n", r"0_item:1: not readable: could not convert .*oops"),
        ("0_item", "1\t1.0,\n", r"0_item:1: not readable"),
        ("0_photo", "1\t5\t9\t1.0\n", r"0_photo:1: expected id<TAB>number,…, got"),
        ("0_live", "1\t1.0\n", r"0_live:1: expected id<TAB>start<TAB>end<TAB>number,…, got"),
        ("0_live", "1\t1\t9\t1.0\n\n", r"0_live:2: expected id<TAB>start"),
        (
            "0_live",
            "1\t5\t9\t1.0\n1\t5\t8\t1.0\n",
            r"0_live:2: live id '1' was at .*:1 with another start .*5-9 and 5-8",
        ),
    ],
)
def test_a_bad_line_of_a_dump_is_named(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match=expected):
        read_embeddings([tmp_path])


@given(arrays(np.float32, (2, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_text_keeps_every_bit_of_a_float32(vectors):
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "0_item"
        dump.write_text("".join(line(str(i), vector=vector) for i, vector in enumerate(vectors)))
        assert read_dumps([dump])["page"].vectors.tobytes() == vectors.tobytes()


def test_lines_that_the_authors_code_wrote_are_read(tmp_path):
    recorded = facts("cope/dump")
    for kind in ("item", "photo", "live"):
        (tmp_path / f"0_{kind}").write_text(recorded[f"{kind}_line"])
    found = read_embeddings([tmp_path])
    assert [found[domain].vectors.tobytes().hex() for domain in DOMAINS] == recorded["embeddings_hex_f32"]
    assert [found[domain].sample_ids for domain in DOMAINS] == [["728"], ["1105250"], ["1718832"]]


def test_vectors_are_read_without_pandas(tmp_path):
    """Which Arrow imports where it can; that takes longer than to score a small dataset."""
    save_parquet(tmp_path, np.float32)
    program = """import sys
from pathlib import Path
from rope.bench.io.readers import read_embeddings
read_embeddings([Path(sys.argv[1])])
print("pandas" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
