from functools import cache
from itertools import accumulate

import numpy as np
import pytest

from rope.domain import Sample, Video
from rope.errors import DatasetError, UsageError
from rope.media import choose_frames, count_frames, decode_frames, decode_video

pytest.importorskip("av", reason="PyAV is not installed")

from tests.media import videos

N = 30
TIMES = list(accumulate(10 + 7 * (i % 5) ** 2 for i in range(N)))
"""Milliseconds of a video whose frames follow at uneven intervals."""

MAKERS = {
    "H.264, B-frames": lambda: videos.write(videos.scene(N)),
    "H.264, open groups": lambda: videos.write(
        videos.scene(N), options={"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
    ),
    "H.264, 4:4:4": lambda: videos.write(videos.scene(N), pixels="yuv444p"),
    "H.264, full range": lambda: videos.write(videos.scene(N), pixels="yuvj420p"),
    "H.264, Matroska": lambda: videos.write(videos.scene(N), container="matroska"),
    "H.264, in fragments": lambda: videos.write(videos.scene(N), movflags="frag_keyframe+empty_moov"),
    "H.264, uneven times": lambda: videos.write(videos.scene(N), times_ms=TIMES),
    "H.264, BT.709": lambda: videos.write(
        videos.scene(N), options={"g": "12", "x264-params": "colormatrix=bt709:transfer=bt709:colorprim=bt709"}
    ),
    "H.264, one frame": lambda: videos.write(videos.scene(1)),
    "H.264, three frames": lambda: videos.write(videos.scene(3)),
    "H.265, B-frames": lambda: videos.write(videos.scene(N), "libx265"),
    "VP9": lambda: videos.write(videos.scene(N), "libvpx-vp9", "webm"),
    "VP9, uneven times": lambda: videos.write(videos.scene(N), "libvpx-vp9", "webm", times_ms=TIMES),
    "MPEG-4, AVI": lambda: videos.write(videos.scene(N), "mpeg4", "avi"),
}
REFRESHED = "H.264, intra refresh"
"""The picture builds up over many frames: no frame but the first can be decoded alone."""

ODD = {
    "odd width": lambda: videos.write(videos.scene(N, 120, 69), "libvpx-vp9", "webm"),
    "odd height": lambda: videos.write(videos.scene(N, 121, 68), "libvpx-vp9", "webm"),
    "10 bits": lambda: videos.write(videos.scene(N), "libx265", pixels="yuv420p10le"),
}


@cache
def made(name):
    if name == REFRESHED:
        options = {"g": "10", "bf": "0", "x264-params": "intra-refresh=1"}
        return videos.write(videos.scene(N), options=options)
    return (MAKERS | ODD)[name]()


@cache
def missing(backend):
    """Why a backend cannot be tested here, or an empty text."""
    try:
        decode_video(Video(made("H.264, one frame")), 1, backend=backend)
    except UsageError as error:
        return str(error)
    return ""


def other(backend):
    if reason := missing(backend):
        pytest.skip(reason)
    return backend


@pytest.mark.parametrize("name", [*MAKERS, REFRESHED])
@pytest.mark.parametrize("n_frames", [1, 8, 50])
def test_frames_are_those_of_decoding_everything(name, n_frames):
    every = videos.all_frames(made(name))
    expected = [every[i] for i in choose_frames(len(every), n_frames)]
    np.testing.assert_array_equal(decode_video(Video(made(name)), n_frames), expected)
    assert count_frames(Video(made(name))) == len(every)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("backend", ["torchcodec", "decord"])
def test_backends_give_the_same_pixels(name, backend):
    frames = decode_video(Video(made(name)), 8, backend=other(backend))
    np.testing.assert_array_equal(frames, decode_video(Video(made(name)), 8))


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("backend", ["torchcodec", "decord"])
def test_backends_give_nearly_the_same_pixels(name, backend):
    pairs = zip(
        decode_video(Video(made(name)), 8, backend=other(backend)), decode_video(Video(made(name)), 8), strict=True
    )
    assert min(videos.psnr(one, reference) for one, reference in pairs) >= 36


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["H.264, B-frames", "H.265, B-frames", "VP9"])
def test_a_gpu_gives_nearly_the_same_pixels(name):
    pairs = zip(
        decode_video(Video(made(name)), 8, backend=other("nvdec")), decode_video(Video(made(name)), 8), strict=True
    )
    assert min(videos.psnr(one, reference) for one, reference in pairs) >= 35


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("backend", ["pyav", "torchcodec", "decord"])
def test_a_video_is_turned_as_its_file_says(quarters, backend):
    stored = decode_video(Video(made("H.264, B-frames")), 4)
    shown = decode_video(Video(videos.turned(made("H.264, B-frames"), quarters)), 4, backend=other(backend))
    np.testing.assert_array_equal(shown, [np.rot90(frame, -quarters) for frame in stored])


MATRICES = {
    "as stored": ((1, 0, 0, 1), "ABCD"),
    "mirrored left to right": ((-1, 0, 0, 1), "BADC"),
    "upside down in a mirror": ((1, 0, 0, -1), "CDAB"),
    "half a turn": ((-1, 0, 0, -1), "DCBA"),
    "transposed": ((0, 1, 1, 0), "ACBD"),
    "a quarter clockwise": ((0, 1, -1, 0), "CADB"),
    "a quarter anticlockwise": ((0, -1, 1, 0), "BDAC"),
    "transposed, half a turn": ((0, -1, -1, 0), "DBCA"),
    "a quarter, not quite, and stretched": ((0.01, 2, -1, 0.01), "CADB"),
}
"""Display matrix -> the four corners as shown, row by row, of which ABCD are stored."""

CORNERS = {"A": (220, 30, 30), "B": (30, 200, 30), "C": (30, 30, 220), "D": (230, 230, 230)}


@cache
def cornered():
    half = [[CORNERS[name] for name in names] for names in ("AB", "CD")]
    return videos.write([np.repeat(np.repeat(np.array(half, np.uint8), 32, axis=0), 48, axis=1)] * 4)


def corners_of(frame):
    height, width = frame.shape[:2]
    places = [(row * height // 4, column * width // 4) for row in (1, 3) for column in (1, 3)]
    colours = [frame[place].astype(int) for place in places]
    return "".join(min(CORNERS, key=lambda name: np.abs(CORNERS[name] - colour).sum()) for colour in colours)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("backend", ["pyav", "torchcodec", "decord"])
def test_a_video_is_shown_as_its_display_matrix_says_or_refused(name, backend):
    matrix, expected = MATRICES[name]
    try:
        frames = decode_video(Video(videos.shown_by(cornered(), *matrix)), 2, backend=other(backend))
    except DatasetError as error:
        assert "decode it with pyav" in str(error)  # noqa: PT017 -- either is right
        assert backend != "pyav"
    else:
        assert {corners_of(frame) for frame in frames} == {expected}
        assert {frame.shape[0] > frame.shape[1] for frame in frames} == {matrix[0] in (0, 0.01)}


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_a_video_on_the_slant_is_refused(backend):
    slanted = videos.shown_by(cornered(), 0.7, 0.7, -0.7, 0.7)
    with pytest.raises(DatasetError, match="embedded video: is to be shown at an angle"):
        decode_video(Video(slanted), 2, backend=other(backend))


@pytest.mark.parametrize("backend", ["pyav", "torchcodec", "decord"])
def test_frames_are_resized_after_decoding(backend):
    frames = decode_video(Video(made("VP9")), 4, size=(32, 48), backend=other(backend))
    assert {(frame.shape, frame.dtype) for frame in frames} == {((32, 48, 3), np.dtype(np.uint8))}
    np.testing.assert_array_equal(frames, decode_video(Video(made("VP9")), 4, size=(32, 48)))


def test_a_path_gives_what_its_bytes_give(tmp_path):
    path = tmp_path / "a video: 1.mp4"
    path.write_bytes(made("H.264, B-frames"))
    for backend in ["pyav", *(name for name in ("torchcodec", "decord") if not missing(name))]:
        np.testing.assert_array_equal(
            decode_video(Video(None, str(path)), 8, backend=backend), decode_video(Video(made("H.264, B-frames")), 8)
        )


@pytest.mark.parametrize("n_cut", [3, 10, 21])
def test_frames_before_the_edit_list_are_not_shown(n_cut):
    whole = made("H.264, B-frames")
    start = 1024 + n_cut * 512
    cut = videos.cut_by_edit_list(whole, start)
    every = videos.all_frames(cut)
    assert count_frames(Video(cut)) == len(every) == N - n_cut
    np.testing.assert_array_equal(decode_video(Video(cut), 5), [every[i] for i in choose_frames(len(every), 5)])
    check_other_backends(cut, 5)


def test_frames_that_build_up_are_the_same_or_refused():
    check_other_backends(made(REFRESHED), 8)


def check_other_backends(video, n_frames):
    for backend in ("torchcodec", "decord"):
        if not missing(backend):
            try:
                frames = decode_video(Video(video), n_frames, backend=backend)
            except DatasetError as error:
                assert "decode it with pyav" in str(error)  # noqa: PT017 -- either is right
            else:
                np.testing.assert_array_equal(frames, decode_video(Video(video), n_frames))


def flipped(video):
    damaged = bytearray(video)
    for place in np.random.default_rng(0).integers(len(video) // 3, len(video) * 2 // 3, 40):
        damaged[place] ^= 0xFF
    return bytes(damaged)


def zeroed(video):
    third = len(video) // 3
    return video[:third] + bytes(third) + video[2 * third :]


def cut(video):
    return video[: len(video) * 6 // 10]


DAMAGED = {
    "no bytes": (lambda: b"", "is not an MP4"),
    "text": (lambda: b"#EXTM3U\nhttp://example.com/a.ts\n", "is not an MP4"),
    "a JPEG": (lambda: b"\xff\xd8\xff\xe0 and so on, for some bytes", "is not an MP4"),
    "only a head": (lambda: made("H.264, B-frames")[:32], "cannot be decoded|has no video stream"),
    "no frames": (videos.empty, "has no video stream, or one without frames"),
    "cut MP4": (lambda: cut(made("H.264, B-frames")), "is truncated"),
    "cut fragments": (lambda: cut(made("H.264, in fragments")), "is truncated"),
    "cut Matroska": (lambda: cut(made("H.264, Matroska")), "is truncated"),
    "cut WebM": (lambda: cut(made("VP9")), "is truncated"),
    "cut AVI": (lambda: cut(made("MPEG-4, AVI")), "is truncated"),
    "one byte less": (lambda: made("VP9")[:-1], "is truncated: its last 1 bytes are missing"),
    "zeros in MP4": (lambda: zeroed(made("H.264, B-frames")), "cannot be decoded|is damaged"),
    "AVI with B-frames": (lambda: videos.write(videos.scene(N), container="avi"), "is AVI with B-frames"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("backend", ["pyav", "torchcodec", "decord"])
def test_a_damaged_file_is_named(name, backend):
    make, sentence = DAMAGED[name]
    damaged, backend = Video(make(), "a.mp4"), other(backend)
    with pytest.raises(DatasetError, match=f"^a.mp4: ({sentence})"):
        decode_video(damaged, 8, backend=backend)


def test_a_damaged_sample_is_named():
    with pytest.raises(DatasetError, match=r"^video 7: a\.mp4: is truncated: its last [\d,]+ bytes are missing"):
        decode_frames(Sample("7", "video", None, (), Video(cut(made("VP9")), "a.mp4")), 8)


@pytest.mark.parametrize("name", ["H.264, B-frames", "H.265, B-frames", "VP9", "MPEG-4, AVI"])
def test_damage_inside_frames_is_noticed(name):
    with pytest.raises(DatasetError, match=r"is damaged|cannot be decoded|has no frames"):
        decode_video(Video(flipped(made(name))), 8)


@pytest.mark.parametrize("path", ["/nowhere/a.mp4", "concat:/etc/passwd|/etc/passwd", "/"])
def test_what_is_no_file_is_not_opened(path):
    with pytest.raises(DatasetError, match="cannot be read"):
        decode_video(Video(None, path), 8)


def test_nothing_is_taken_from_the_web():
    with pytest.raises(UsageError, match=r"a\.mp4: is on the web; put a stage download before"):
        decode_video(Video(None, "http://127.0.0.1:9/a.mp4"), 8)


def test_sizes_and_numbers_have_to_be_positive():
    with pytest.raises(ValueError, match="at least one pixel"):
        decode_video(Video(made("VP9")), 8, size=(0, 5))
    with pytest.raises(ValueError, match="at least one"):
        decode_video(Video(made("VP9")), 0)


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("rope.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs av, .*pip install 'rope-bench\[video\]'"):
        decode_video(Video(b""), 8)


def test_a_sample_with_frames_and_a_video_gives_its_frames():
    sample = Sample("7", "video", None, (), Video(made("VP9")))
    np.testing.assert_array_equal(decode_frames(sample, 3, (8, 8)), decode_video(Video(made("VP9")), 3, (8, 8)))
