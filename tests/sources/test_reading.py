import hashlib

import pytest

from rope.errors import ReleaseError
from rope.sources.reading import iter_lines, listing_hash, read_object


def test_lines_keep_their_numbers_and_tabs(tmp_path):
    content = b"\xef\xbb\xbf a\tb\t\r\n\n \t\n\xff\nlast"
    (tmp_path / "a.txt").write_bytes(content)
    digests, seen = {}, []
    assert list(iter_lines(tmp_path / "a.txt", digests, seen.append)) == [(1, "a\tb\t"), (4, None), (5, "last")]
    assert digests == {"a.txt": hashlib.sha256(content).hexdigest()}
    assert sum(seen) == len(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds a list; expected an object"),
        ('{"a": {"b": 1, "b": 2}}', "the name 'b' occurs twice"),
        (b"\xff", "cannot be read as JSON"),
    ],
)
def test_what_is_no_object_is_refused(content, message, tmp_path):
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReleaseError, match=message):
        read_object(tmp_path / "a.json", {}, lambda _: None)


def test_a_listing_does_not_depend_on_order_but_on_names():
    assert listing_hash(["a", "b"]) == listing_hash(["b", "a"]) != listing_hash(["ab"])
