import io

import numpy as np
import pytest
from PIL import Image

from baselines.handcrafted import DIM, embedder
from rope.domain import Frame, Sample
from rope.errors import DatasetError

EMBEDDER = embedder()
RED, BLUE = (200, 30, 30), (30, 30, 200)


def frame(colour, *, size=(90, 60), stripes=None) -> Frame:
    """A plain picture with an optional pattern of dark stripes, `rows` or `columns`."""
    pixels = np.full((size[1], size[0], 3), colour, np.uint8)
    if stripes == "rows":
        pixels[::6] = pixels[1::6] = 0
    if stripes == "columns":
        pixels[:, ::6] = pixels[:, 1::6] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Frame(buffer.getvalue())


def sample(*frames, text=None) -> Sample:
    return Sample("1", "video", text, frames)


def cosine(a, b) -> float:
    x, y = EMBEDDER.embed([a, b]).astype(float)
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_vectors_are_float32_and_never_zero():
    vectors = EMBEDDER.embed([sample(frame((0, 0, 0))), sample(frame((9, 9, 9), size=(1, 1)), text="")])
    assert vectors.shape == (2, DIM)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()


def test_no_sample_gives_no_row():
    assert EMBEDDER.embed([]).shape == (0, DIM)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_batches_change_no_bit(batch_size):
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (7, 5, 3))
    samples = [sample(*map(frame, row[: i % 5 + 1]), text="品牌 red" * i) for i, row in enumerate(colours)]
    parts = [EMBEDDER.embed(samples[i : i + batch_size]) for i in range(0, 7, batch_size)]
    assert np.concatenate(parts).tobytes() == EMBEDDER.embed(samples).tobytes()


@pytest.mark.parametrize(
    ("near", "far"),
    [
        (sample(frame((190, 40, 35))), sample(frame(BLUE))),
        (sample(frame(RED, size=(300, 200))), sample(frame(BLUE, size=(300, 200)))),
        (sample(frame(RED), frame(RED), frame(BLUE)), sample(frame(BLUE), frame(BLUE), frame(RED))),
        (sample(frame(RED), text="连衣裙"), sample(frame(RED), text="保温杯")),
    ],
)
def test_what_looks_or_reads_alike_is_nearer(near, far):
    anchor = sample(frame(RED), text="红色 连衣裙 夏季")
    assert cosine(anchor, near) > cosine(anchor, far)


def test_the_direction_of_edges_matters():
    rows, columns = (sample(frame(RED, stripes=stripes)) for stripes in ("rows", "columns"))
    larger = sample(frame(RED, stripes="rows", size=(120, 60)))
    assert cosine(rows, larger) > cosine(rows, columns)


def test_a_tinted_light_is_partly_undone():
    picture = np.zeros((60, 90, 3))
    picture[:, :45], picture[:, 45:] = (150, 60, 60), (60, 60, 150)

    def lit(light) -> Sample:
        buffer = io.BytesIO()
        Image.fromarray((picture * light).astype(np.uint8)).save(buffer, "PNG")
        return sample(Frame(buffer.getvalue()))

    assert cosine(lit((1, 1, 1)), lit((1.2, 1, 0.7))) > cosine(lit((1, 1, 1)), sample(frame((150, 60, 60))))


def test_showing_every_frame_twice_changes_nothing():
    colours = [(20 * i, 100, 250 - 20 * i) for i in range(4)]
    once = EMBEDDER.embed([sample(*map(frame, colours))])
    twice = EMBEDDER.embed([sample(*(frame(c) for c in colours for _ in range(2)))])
    assert np.allclose(once, twice, atol=1e-6)


@pytest.mark.parametrize(("frames", "expected"), [((), "has no frames"), ((Frame(b"no image"),), "cannot be decoded")])
def test_a_sample_without_pictures_is_named(frames, expected):
    with pytest.raises(DatasetError, match=f"video 1: .*{expected}"):
        EMBEDDER.embed([sample(*frames)])


def test_the_arithmetic_is_pinned():
    vector = EMBEDDER.embed([sample(frame(RED, stripes="rows"), text="红色 Dress")])[0].astype(float)
    checked = vector @ np.cos(np.arange(DIM))
    assert checked == pytest.approx(-0.599437, rel=1e-5), "a change of the numbers needs another `fingerprint`"


def test_a_text_alone_is_embedded_where_a_domain_may_have_it():
    review, page = Sample("1", "review", "a red cup", ()), Sample("1", "page", "a red cup", ())
    other = Sample("2", "review", "a red cup", (frame(RED),))
    assert 0.1 < cosine(review, other) < 0.9
    assert cosine(review, Sample("3", "review", "something else", ())) < 0.5
    with pytest.raises(DatasetError, match="has no frames"):
        EMBEDDER.embed([page])
