"""Files that are another thing than they were given as: one sentence that names the file, and exit code 2."""

import gzip
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.bench import cli
from rope.bench.io.readers import read_embeddings
from rope.bench.recommend.readers import read_interactions
from rope.bench.recommend.users import read_user_vectors
from rope.bench.stats.query_ranks import load_ranks, read_ranks
from rope.errors import FileError, RopeError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404</body></html>"
ENDINGS = ["parquet", "npy", "npz", "safetensors"]


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2) + 1
RECORD = {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
GOOD = {
    "parquet": parquet(domain=["page"] * 3, sample_id=["a", "b", "c"], embedding=VECTORS.tolist()),
    "npy": npy(VECTORS),
    "npz": npz(page=VECTORS, page_ids=np.array(["a", "b", "c"])),
    "safetensors": safetensors(
        {"__metadata__": {"page_ids": json.dumps(["a", "b", "c"])}, "page": RECORD}, VECTORS.tobytes()
    ),
}


def save(folder, ending, content):
    (folder / "page.ids.txt").write_text("a\nb\nc\n")
    path = folder / f"page.{ending}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (POINTER, "it is a Git LFS pointer, which stands for the file; run git lfs pull"),
        (PAGE, "it is an HTML page, as a failed download leaves it"),
        (b"", "it is an empty file"),
        (gzip.compress(bytes(99), mtime=0), "it is compressed with gzip"),
        (pickle.dumps([1]), "it is a pickle, as torch.save writes it; no pickle is loaded"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG image"),
    ],
)
def test_the_sentence_says_what_the_file_is(ending, content, kind, tmp_path):
    path = save(tmp_path, ending, content)
    with pytest.raises(FileError, match=rf"page\.{ending}: not readable as .*; {kind}$"):
        read_embeddings([path])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_file_is_named(ending, tmp_path):
    assert len(read_embeddings([save(tmp_path, ending, GOOD[ending])])["page"].sample_ids) == 3
    path = save(tmp_path, ending, GOOD[ending][:-30])
    with pytest.raises(FileError, match=rf"page\.{ending}: not readable as"):
        read_embeddings([path])


def doubled_zip():
    file = io.BytesIO(GOOD["npz"])
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("page.npy", npy(-VECTORS))
    return file.getvalue()


@pytest.mark.parametrize(
    ("ending", "make", "expected"),
    [
        ("npy", lambda: npy(np.array([[1, None]], object)), "not readable as .npy: Object arrays cannot be loaded"),
        ("npy", lambda: GOOD["npy"].replace(b"(3, 2), ", b"(3" + b"0" * 16 + b",2),"), "not readable as .npy"),
        ("npz", doubled_zip, "an array occurs twice; it has page, page, page_ids"),
        ("npz", lambda: GOOD["parquet"], "not readable as .npz; it is Parquet"),
        ("safetensors", lambda: (2**62).to_bytes(8, "little") + b"{}", "not readable as safetensors: .*header"),
        ("safetensors", lambda: safetensors(b"[" * 100_000), "not readable as safetensors"),
        ("safetensors", lambda: safetensors({"page": {**RECORD, "shape": [2**40, 2**40]}}), "not readable as safetens"),
        (
            "safetensors",
            lambda: safetensors({"__metadata__": {"page_ids": "[" * 99_999}, "page": RECORD}, VECTORS.tobytes()),
            "not readable as safetensors: .*recursion",
        ),
    ],
)
def test_what_a_file_claims_of_itself_is_not_believed(ending, make, expected, tmp_path):
    path = save(tmp_path, ending, make())
    with pytest.raises(FileError, match=rf"page\.{ending}: {expected}"):
        read_embeddings([path])


def test_a_pointer_in_the_place_of_ids_is_not_three_ids(tmp_path):
    path = save(tmp_path, "npy", GOOD["npy"])
    (tmp_path / "page.ids.txt").write_bytes(POINTER)
    with pytest.raises(FileError, match=r"page\.ids\.txt: not readable as ids, one a line; it is a Git LFS pointer"):
        read_embeddings([path])


RESULT = {
    "model": "m",
    "dataset": {"name": "d", "fingerprint": "f", "split": "validation"},
    "protocol": {"version": "1.0"},
    "pairs": {"P2V": {"n_queries": 1, "R@1": 1.0}},
}
RANKS = {
    **{name: ["x"] for name in ("query_id", "product_id")},
    **{name: [1] for name in ("n_positives", "rank", "rank_optimistic")},
    **{f"hits_at_{k}": [1] for k in (1, 5, 10, 20, 50)},
    "pair": ["P2V"],
    "average_precision": [1.0],
}


@pytest.mark.parametrize(
    "content",
    [
        POINTER,
        b"[" * 100_000,
        b"\xff\xfe",
        b"[1, 2]",
        b'"text"',
        b"{}",
        json.dumps(RESULT | {"dataset": []}).encode(),
        json.dumps(RESULT | {"dataset": "d"}).encode(),
        json.dumps(RESULT | {"model": ["m"]}).encode(),
        json.dumps(RESULT | {"protocol": {"version": None}}).encode(),
        json.dumps(RESULT | {"pairs": [1]}).encode(),
        json.dumps(RESULT | {"pairs": {"P2V": 3}}).encode(),
        json.dumps(RESULT | {"pairs": {"P2V": {"n_queries": 1}}}).encode(),
    ],
)
@pytest.mark.parametrize("command", ["compare", "slices", "tail"])
def test_what_is_no_result_ends_with_2_and_a_sentence(command, content, tmp_path, monkeypatch, capsys):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    arguments = ["a.json", "b.json"] if command == "compare" else ["a.json"]
    monkeypatch.setattr(sys, "argv", ["rope-bench", command, *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith("error: a.json: ")
    assert len(err.splitlines()) == 1
    pq.write_table(pa.table(RANKS), tmp_path / "ranks.parquet")
    with pytest.raises(RopeError):
        read_ranks(tmp_path / "ranks.parquet", tmp_path / "a.json")


def test_ranks_with_a_column_given_twice_are_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(RESULT))
    path = tmp_path / "ranks.parquet"
    pq.write_table(pa.table(RANKS), path)
    assert read_ranks(path, tmp_path / "a.json").product_ids == ["x"]
    pq.write_table(pa.table(RANKS).append_column("rank", pa.array([2])), path)
    with pytest.raises(RopeError, match="rank missing, there twice"):
        read_ranks(path, tmp_path / "a.json")


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few bytes altered, a piece cut out, or another put in."""
    raw = bytearray(content)
    start, stop = sorted(int(place) for place in rng.integers(0, len(raw) + 1, 2))
    match rng.integers(0, 4):
        case 0:
            for place in rng.integers(0, len(raw), rng.integers(1, 5)):
                raw[place] = rng.integers(0, 256)
        case 1:
            del raw[start:stop]
        case 2:
            raw[start:start] = raw[start:stop][:99]
        case 3:
            raw[start:stop] = rng.bytes(min(stop - start, 40))
    return bytes(raw)


TABLE = b"user_id,item_id,timestamp\nu,a,1\nu,b,2\nv,a,1700000000\n"
JSON = json.dumps(RESULT | {"ranks": {"file": "a.parquet", "sha256": "0"}}).encode()
READERS = {
    **{f"page.{ending}": (GOOD[ending], lambda path: read_embeddings([path])) for ending in ENDINGS},
    "0_item": (b"1\t0.5,1.5\n2\t0.25,1.0\n", lambda path: read_embeddings([path])),
    "a.csv": (TABLE, read_interactions),
    "a.inter": (TABLE.replace(b",", b"\t"), read_interactions),
    "a.dat": (b"u::a::5::1\nu::b::5::2\n", read_interactions),
    "b.parquet": (parquet(user=["u", "v"], item=[1, 2], time=[3, 4]), read_interactions),
    "users.npz": (npz(user_ids=np.array(["u"]), users=VECTORS[:1]), lambda path: read_user_vectors(path, ["u"], 2)),
    "a.json": (JSON, load_ranks),
    "ranks.parquet": (parquet(**RANKS), lambda path: read_ranks(path, path.with_name("result.json"))),
}


@pytest.mark.filterwarnings("ignore")  # of libraries, about what they read
@pytest.mark.parametrize("name", READERS)
def test_nothing_but_a_sentence_comes_out_of_damaged_files(name, tmp_path):
    """Readers of vectors, interactions, users and results: what they raise names the file, or the line in it."""
    good, read = READERS[name]
    (tmp_path / "page.ids.txt").write_text("a\nb\nc\n")
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    rng, path, sentences = np.random.default_rng(0), tmp_path / name, []
    for _ in range(60):
        path.write_bytes(damage(good, rng))
        try:
            read(path)
        except RopeError as error:
            sentences.append(str(error))
    assert len(sentences) > 10
    assert [one for one in sentences if str(tmp_path) not in one and "ranks of m lack" not in one] == []
    assert [one for one in sentences if "\n" in one] == []


def test_cards_are_damaged_too(tmp_path):
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    from leaderboard.card import read_card

    good = (Path(__file__).parents[3] / "leaderboard" / "cards" / "handcrafted.yaml").read_bytes()
    rng, path, sentences = np.random.default_rng(0), tmp_path / "card.yaml", []
    for content in (POINTER, b"[" * 30_000, b"a: &a [*a]", b"\x00", *(damage(good, rng) for _ in range(40))):
        path.write_bytes(content)
        try:
            read_card(path)
        except RopeError as error:
            sentences.append(str(error))
    assert [one for one in sentences if str(path) not in one] == []
