"""A text is the same whatever it is compressed with, and whatever encoding and line end it is in."""

import codecs
import gzip
import hashlib

import pyarrow as pa
import pytest

from rope.errors import ReleaseError, UsageError
from rope.sources.lines import scan_lines
from rope.sources.text import DAMAGED, check_encoding, iter_blocks, read_text, text_files

TEXT = "1, 标题\n2, a cup\n"


def zstd(content):
    return pa.Codec("zstd").compress(content, asbytes=True)


def with_size_unknown(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("block_bytes", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(TEXT.encode(), mtime=0), None),
        (gzip.compress(TEXT[:7].encode(), mtime=0) + gzip.compress(TEXT[7:].encode(), mtime=0), None),
        (with_size_unknown(TEXT.encode()), None),
        (gzip.compress(TEXT.encode("utf-16"), mtime=0), None),
        (TEXT.encode("utf-16"), None),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "gb18030"),
        (TEXT.encode("utf-32"), None),
        (b"\x84\x31\x95\x33" + TEXT.encode("gb18030"), None),
        (TEXT.encode("gb18030"), "gb18030"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF8 + TEXT.encode(), "gbk"),
        (TEXT.replace("\n", "\r").encode(), None),
        (TEXT.replace("\n", "\x85").encode(), None),
        (TEXT.replace("\n", "\u2028").encode(), None),
        (TEXT.replace("\n", "\r").encode("utf-16"), None),
    ],
)
def test_what_is_in_a_file(content, encoding, block_bytes, tmp_path):
    path, digest = tmp_path / "a.txt", hashlib.sha256()
    path.write_bytes(content)
    assert b"".join(iter_blocks(path, digest.update, block_bytes, encoding)).decode() == TEXT
    assert digest.digest() == hashlib.sha256(content).digest()


def test_a_cr_is_no_line_end_where_there_is_lf(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1, a\rb\n2, c")
    assert read_text(tmp_path / "a.txt") == "1, a\rb\n2, c"


@pytest.mark.parametrize(
    ("content", "encoding", "texts"),
    [
        (b"1, a\n2, caf\xe9\n3, b\n", None, ["1, a", None, "3, b"]),
        ("1, 标\n".encode("gb18030") + b"2, \xff\n3, b\n", "gb18030", ["1, 标", None, "3, b"]),
        ("1, a\n".encode("utf-16") + b"\x00\xd8" + "2\n3, b\n".encode("utf-16-le"), None, ["1, a", None, "3, b"]),
    ],
)
def test_a_damaged_line_is_one_line(content, encoding, texts, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    lines = [text for batch in scan_lines(tmp_path / "a.txt", encoding=encoding) for text in batch["text"].to_pylist()]
    assert lines == texts
    assert [DAMAGED in line for line in read_text(tmp_path / "a.txt", encoding=encoding).splitlines()] == [
        text is None for text in texts
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"  <!DOCTYPE html>\n<p>1, a", "it is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "it is a Git LFS pointer"),
        (b"PK\x03\x04\x14\0\0\0\x08\0\xff\xff", "it is a ZIP archive"),
        (b"PAR1\x15\x00\x15\x90\xff", "it is Parquet"),
        (gzip.compress(b"<html>\n", mtime=0), "it is an HTML page"),
        (TEXT.encode("utf-16-le"), "UTF-16 without a byte order mark; say so with --encoding utf-16-le"),
        (TEXT.encode("utf-16-be"), "UTF-16 without a byte order mark; say so with --encoding utf-16-be"),
        (bytes(100), "it is zero bytes"),
        (gzip.compress(TEXT.encode() * 99, mtime=0)[:-9], "compressed with gzip, and damaged"),
        (with_size_unknown(TEXT.encode() * 99)[:-9], "compressed with Zstandard, and damaged"),
    ],
)
def test_a_file_of_another_kind_is_named(content, message, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ReleaseError, match=rf"a\.txt: .*{message}"):
        list(iter_blocks(tmp_path / "a.txt"))


@pytest.mark.parametrize("content", [b"PAR1, a cup\n", b"BZh, a\n", b"%PDF, a\n", b"1, a\0b\n2, c\n3, d\n", b""])
def test_an_id_like_a_magic_number_is_text(content, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_text(tmp_path / "a.txt").encode() == content


def test_a_file_that_is_not_compressed_wins(tmp_path):
    for name in ("a.txt.gz", "a.txt", "b.json.zst", "c.jpg", "d.gz"):
        (tmp_path / name).touch()
    (tmp_path / "e.txt").mkdir()
    assert text_files(tmp_path) == {"a.txt": "a.txt", "b.json": "b.json.zst"}


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "undefined"])
def test_an_encoding_that_is_none_is_refused(encoding):
    with pytest.raises(UsageError, match=f"'{encoding}' is not an encoding of text"):
        check_encoding(encoding)
