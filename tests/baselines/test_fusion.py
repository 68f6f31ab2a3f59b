import io
import time
from threading import Barrier

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import EmbeddingOptions
from rope.domain import Frame, Sample
from rope.errors import DatasetError, UsageError
from rope.media import decode_frames
from tests.baselines.samples import samples


class Colours:
    """An image is its mean colour, a text the codes of its first three letters."""

    fingerprint = "colours"
    thread_safe = True

    def __init__(self, has_text=True):
        self.has_text = has_text
        self.seen = 0

    def prepare(self, image):
        return torch.tensor(image.mean(axis=(0, 1)), dtype=torch.float32)

    def encode_images(self, prepared):
        self.seen += len(prepared)
        return torch.stack(list(prepared))

    def encode_texts(self, texts):
        return torch.tensor([[float(ord(letter)) for letter in text[:3]] for text in texts])


def embed(given, encoder=None, **options):
    fused = EmbeddingOptions(**options)
    return FusedEmbedder("colours", PooledImages(encoder or Colours(), fused.pool), fused).embed(given)


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("weight", [0, 0.25, 1])
@pytest.mark.parametrize(("pool", "over_frames"), [("mean", np.mean), ("max", np.max), ("first", lambda x, axis: x[0])])
def test_frames_and_text_are_the_sum_that_is_written_down(pool, over_frames, weight):
    (sample,) = samples("video", 1, n_frames=4)
    frames = np.array([unit(frame.mean(axis=(0, 1))) for frame in decode_frames(sample, 4)])
    text = unit(np.array([ord(letter) for letter in sample.text[:3]]))
    expected = unit((1 - weight) * unit(over_frames(frames, axis=0)) + weight * text)
    assert np.allclose(embed([sample], pool=pool, text_weight=weight)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("text", "texts"), [(None, ("page",)), ("", ("page",)), ("red dress", ("live",))])
def test_without_a_text_that_is_read_the_frames_count_alone(text, texts):
    given = samples("page", 3, text=text)
    assert np.array_equal(embed(given, text_weight=1, texts=texts), embed(given, text_weight=0))


@pytest.mark.parametrize("weight", [0, 0.5, 1])
def test_a_text_alone_is_embedded_by_it(weight):
    review = Sample("1", "review", "red dress", ())
    expected = unit(np.array([ord(letter) for letter in "red"], float))
    assert np.allclose(embed([review, *samples("page", 2)], text_weight=weight)[0], expected, atol=1e-6)


@pytest.mark.parametrize("images", [1, 2, 5, 64])
def test_how_many_images_are_seen_at_a_time_changes_nothing(images):
    given = samples("video", 5, n_frames=3)
    assert np.array_equal(embed(given, images=images), embed(given))


@pytest.mark.parametrize(
    ("domain", "n_stored", "options", "seen"),
    [
        ("page", 1, {"frames": 8}, 2),
        ("video", 5, {"frames": 3}, 6),
        ("video", 5, {"frames": 3, "pool": "first"}, 2),
        ("video", 5, {"text_weight": 1}, 0),
    ],
)
def test_no_image_is_computed_that_does_not_count(domain, n_stored, options, seen):
    encoder = Colours()
    embed(samples(domain, 2, n_frames=n_stored), encoder, **options)
    assert encoder.seen == seen


def test_a_text_for_a_model_without_a_text_tower_is_refused():
    with pytest.raises(UsageError, match="text_weight=0"):
        embed([], Colours(has_text=False))


class Counted(Colours):
    """Goes on when `together` threads are in it, and notes how many there are and how many torch has in each."""

    def __init__(self, thread_safe, together):
        super().__init__()
        self.thread_safe = thread_safe
        self.meeting = Barrier(together, timeout=60)
        self.inside = self.most = 0
        self.torch_threads = set()

    def encode_images(self, prepared):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.torch_threads.add(torch.get_num_threads())
        self.meeting.wait()
        time.sleep(0.01)
        self.inside -= 1
        return super().encode_images(prepared)


@pytest.mark.parametrize(("thread_safe", "together", "torch_threads"), [(True, 3, {1}), (False, 1, {3})])
def test_cores_share_a_model_only_where_it_is_thread_safe(thread_safe, together, torch_threads):
    encoder, given, before = Counted(thread_safe, together), samples("page", 6), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        vectors = embed(given, encoder, images=2, device="cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert (encoder.most, encoder.torch_threads) == (together, torch_threads)
    assert np.array_equal(vectors, embed(given))


def test_a_damaged_image_is_named_and_the_cores_are_as_before():
    before = torch.get_num_threads()
    with pytest.raises(DatasetError, match="page broken"):
        embed([*samples("page", 3), Sample("broken", "page", None, (Frame(b"no image"),))], device="cpu")
    assert torch.get_num_threads() == before


def test_no_sample_gives_no_row():
    assert len(embed([])) == 0


def test_a_sample_of_which_the_model_takes_nothing_has_no_vector():
    review, silent = Sample("1", "review", "a fine cup", ()), Sample("2", "review", None, ())
    (video,) = samples("video", 1)
    for has_text, alone in ((False, [review, silent]), (True, [silent])):
        fused = FusedEmbedder(
            "colours", PooledImages(Colours(has_text), "mean"), EmbeddingOptions(text_weight=0.5 if has_text else 0)
        )
        assert fused.abstains
        rows = fused.embed([video, *alone])
        assert np.array_equal(rows[0], embed([video], Colours(has_text), text_weight=0.5 if has_text else 0)[0])
        assert np.isnan(rows[1:]).all()
        assert np.isnan(fused.embed(alone)).all()


def test_how_long_the_model_waited_for_frames_is_said():
    options = EmbeddingOptions()
    model = FusedEmbedder("colours", PooledImages(Colours(), "mean"), options)
    assert model.spent == ""
    model.embed(samples("page", 3))
    model._waited_s[:], model._computed_s[:] = [0.5, 1.0], [4.5]
    assert model.spent == "colours: the model waited for decoded and prepared frames for 25% of the time"


@pytest.mark.parametrize("thread_safe", [True, False])
def test_both_ways_to_compute_count_what_they_wait_for(thread_safe):
    encoder = Colours()
    encoder.thread_safe = thread_safe
    model = FusedEmbedder("colours", PooledImages(encoder, "mean"), EmbeddingOptions(device="cpu"))
    model.embed(samples("page", 3))
    assert len(model._waited_s) == 3
    assert model._computed_s
    assert "the model waited" in model.spent


def test_large_photos_are_decoded_no_smaller_than_asked(monkeypatch):
    sizes = []
    encoder = Colours()
    monkeypatch.setattr(encoder, "prepare", lambda image: sizes.append(image.shape) or Colours.prepare(encoder, image))
    content = io.BytesIO()
    Image.new("RGB", (1000, 600), (200, 30, 60)).save(content, "JPEG")
    photo = Sample("1", "page", None, (Frame(content.getvalue()),))
    vectors = [embed([photo], encoder, decode_side=side)[0] for side in (None, 300, 301, 100)]
    assert sizes == [(600, 1000, 3), (300, 500, 3), (600, 1000, 3), (150, 250, 3)]
    assert np.allclose(vectors, vectors[0], atol=1e-3)
