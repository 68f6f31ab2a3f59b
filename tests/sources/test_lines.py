import hashlib

import pytest

from rope.sources.lines import scan_lines


def lines_of(path, **options):
    batches = scan_lines(path, **options)
    return [(row["line"], row["text"]) for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"\n", [""]),
        (b"a\r\nb", ["a\r", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"\xef\xbb\xbf", []),
        ("1, 蓝色\n2, 杯子".encode(), ["1, 蓝色", "2, 杯子"]),
        (b"good\n\xff\xfe\ngood\n", ["good", None, "good"]),
        (b"cut \xe8\x93", [None]),
    ],
)
def test_lines_and_numbers(content, texts, block_bytes, tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    assert lines_of(path, block_bytes=block_bytes) == list(enumerate(texts, start=1))


def test_every_byte_is_reported(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"\xef\xbb\xbf1, a\n2, b")
    digest = hashlib.sha256()
    lines_of(path, on_bytes=digest.update, block_bytes=4)
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
