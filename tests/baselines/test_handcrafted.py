import io

import numpy as np
import pytest
from PIL import Image

from baselines.handcrafted import DIM, _colours, _describe, embedder
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
    assert checked == pytest.approx(-0.599437, rel=1e-5)


def test_a_text_alone_is_embedded_where_a_domain_may_have_it():
    review, page = Sample("1", "review", "a red cup", ()), Sample("1", "page", "a red cup", ())
    other = Sample("2", "review", "a red cup", (frame(RED),))
    assert 0.1 < cosine(review, other) < 0.9
    assert cosine(review, Sample("3", "review", "something else", ())) < 0.5
    with pytest.raises(DatasetError, match="has no frames"):
        EMBEDDER.embed([page])


def noise():
    """Two frames in which every block has something to see."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(2):
        coarse, file = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), io.BytesIO()
        Image.fromarray(coarse.repeat(10, axis=0).repeat(10, axis=1)).save(file, "PNG")
        frames.append(Frame(file.getvalue()))
    return sample(*frames, text="红色 Dress 红色 ２ 件")


BLOCKS = {
    "colour": (0, 256),
    "balanced_colour": (256, 512),
    "edges": (512, 656),
    "layout": (656, 704),
    "text": (704, 1216),
}
PINNED = {
    "colour": -0.0206089,
    "balanced_colour": -0.8024956,
    "edges": -0.1137143,
    "layout": -0.2791982,
    "text": 0.1623165,
}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_arithmetic_of_each_block_is_pinned(block):
    start, stop = BLOCKS[block]
    vector = EMBEDDER.embed([noise()])[0].astype(float)[start:stop]
    checked = vector @ np.cos(np.arange(stop - start))
    assert checked == pytest.approx(PINNED[block], rel=1e-5), "a change of the numbers needs another `fingerprint`"


def test_paler_colours_use_the_range_of_the_balanced_histogram_twice_as_far():
    """Half the contrast of colour in the balanced block falls into the bins that all of it has in the plain one."""
    vivid = np.full((64, 64, 3), 0.5)
    vivid[:, ::2] += [0.2, -0.2, 0.0]
    vivid[:, 1::2] += [-0.2, 0.2, 0.0]
    pale = 0.5 + (vivid - 0.5) / 2
    assert np.allclose(_colours(pale, gain=2.0), _colours(vivid, gain=1.0))
    described = _describe(pale)
    assert np.allclose(described["balanced_colour"], described_by(pale, gain=2.0))
    assert np.allclose(described["colour"], described_by(pale, gain=1.0))


def described_by(image, gain):
    histogram = _colours(image, gain=gain)
    return histogram / np.linalg.norm(histogram)
