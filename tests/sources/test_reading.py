import hashlib

import pytest

from rope.errors import ReleaseError
from rope.sources.reading import Reading, listing_hash


def test_lines_keep_their_numbers_and_tabs(tmp_path):
    content = b"\xef\xbb\xbf a\tb\t\r\n\n \t\n\xff\nlast"
    (tmp_path / "a.txt").write_bytes(content)
    seen = []
    reading = Reading(seen.append)
    assert list(reading.lines(tmp_path / "a.txt")) == [(1, "a\tb\t"), (4, None), (5, "last")]
    assert reading.digests == {"a.txt": hashlib.sha256(content).hexdigest()}
    assert reading.n_rows == {"a.txt": 3}
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
        Reading(lambda _: None).object(tmp_path / "a.json")


def test_a_listing_does_not_depend_on_order_but_on_names():
    assert listing_hash(["a", "b"]) == listing_hash(["b", "a"]) != listing_hash(["ab"])
