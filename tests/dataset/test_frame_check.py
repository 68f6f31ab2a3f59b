import pytest

from rope.dataset.frame_check import FrameCheck

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media import videos

WHOLE = videos.write(videos.scene(9))


def row(content):
    return {"sample_id": "v1", "frames": [], "frame_times": [], "video": {"bytes": content, "path": "v1.mp4"}}


@pytest.mark.parametrize(
    ("content", "decode", "finding"),
    [
        (WHOLE, True, None),
        (WHOLE[:-9], False, None),
        (WHOLE[:-9], True, "1 videos cannot be read: v1 (v1.mp4: is truncated: its last 9 bytes are missing)"),
        (b"no video", False, "1 videos cannot be read: v1 (no known format)"),
        (None, True, "1 videos cannot be read: v1 (no bytes)"),
    ],
)
def test_videos_are_decoded_where_that_is_asked_for(content, decode, finding):
    check = FrameCheck("video", "embed", decode)
    check.see(row(content))
    assert check.findings() == ([] if finding is None else [finding])


def test_a_video_by_reference_is_decoded(tmp_path):
    (tmp_path / "v1.mp4").write_bytes(WHOLE[:-9])
    check = FrameCheck("video", "reference", decode=True)
    check.see(row(None) | {"video": {"bytes": None, "path": str(tmp_path / "v1.mp4")}})
    (found,) = check.findings()
    assert "is truncated" in found
