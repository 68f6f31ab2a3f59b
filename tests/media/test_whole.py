import struct

import pytest

from rope.media.whole import missing_bytes

BOX = struct.pack(">I4s", 20, b"ftyp") + bytes(12)
LONG_BOX = struct.pack(">I4sQ", 1, b"mdat", 40) + bytes(24)
EBML = b"\x1a\x45\xdf\xa3\x84" + bytes(4)
SEGMENT = b"\x18\x53\x80\x67\x01" + (30).to_bytes(7, "big") + bytes(30)


@pytest.mark.parametrize("content", [BOX, BOX + LONG_BOX, LONG_BOX + BOX, EBML + SEGMENT])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_missing_bytes_are_counted(content, cut, tmp_path):
    (tmp_path / "a").write_bytes(content[: len(content) - cut])
    assert missing_bytes(content[: len(content) - cut]) == cut
    assert missing_bytes(str(tmp_path / "a")) == cut


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF" + bytes(50),
        BOX + struct.pack(">I4s", 0, b"mdat") + b"to the end",
        BOX + b"\0\0\0\0 trailing",
        EBML + b"\x18\x53\x80\x67\xff" + b"of unknown length",
        EBML + b"\x00\x00\x00\x00 no element",
        EBML + b"\x42",
    ],
)
def test_where_nothing_is_claimed_nothing_is_missing(content):
    assert missing_bytes(content) == 0
