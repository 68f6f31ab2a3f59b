import numpy as np
import pytest
import torch
from PIL import Image

from cope.pixels import Augment, _crop_box, normalised
from rope.feed import stack_frames
from tests.cope.golden import golden


def gradient(height=90, width=60):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 2, columns * 4, (rows + columns)], axis=-1).astype(np.uint8)


def test_nothing_is_changed_where_nothing_is_asked_for():
    frames = [gradient(32, 32)] * 2
    made = Augment(32, crop=1.0, flip=0.0, jitter=0.0)(frames, np.random.default_rng(0))
    assert (made.shape, made.dtype) == ((2, 3, 32, 32), torch.uint8)
    np.testing.assert_allclose(made[0].permute(1, 2, 0), frames[0], atol=12)  # a crop may be of another ratio


def test_all_frames_of_a_sample_are_changed_alike():
    made = Augment(24, 0.3, 0.5, 0.5)([gradient()] * 4, np.random.default_rng(1))
    assert all(torch.equal(frame, made[0]) for frame in made)


def test_the_same_generator_gives_the_same_crop_and_another_one_another():
    augment = Augment(24, 0.3, 0.5, 0.0)
    first, same, other = (augment([gradient()], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_crops_keep_at_least_the_share_that_is_asked_for():
    rng = np.random.default_rng(0)
    boxes = [_crop_box(100, 200, 0.5, rng) for _ in range(300)]
    shares = [(right - left) * (bottom - top) / 20_000 for left, top, right, bottom in boxes]
    assert 0.35 < min(shares) < 0.6 < 0.9 < max(shares) <= 1
    assert all(0 <= left < right <= 200 and 0 <= top < bottom <= 100 for left, top, right, bottom in boxes)


@pytest.mark.parametrize(("flip", "is_mirrored"), [(0.0, False), (1.0, True)])
def test_a_flip_mirrors(flip, is_mirrored):
    made = Augment(30, 1.0, flip, 0.0)([gradient(30, 30)], np.random.default_rng(3))[0, 1]
    assert (float(made[0, 0]) > float(made[0, -1])) == is_mirrored


def test_images_are_those_of_the_released_code_at_inference():
    arrays = golden("pixels")
    for name in ("img0", "img1", "img2", "img3"):
        expected = arrays[f"{name}.infer"]
        side = expected.shape[-1]
        frames = [
            np.array(Image.fromarray(pixels.numpy()).resize((side, side), Image.Resampling.BILINEAR))
            for pixels in arrays[f"{name}.uint8"]
        ]
        made = normalised(stack_frames(frames, np.random.default_rng(0)))
        np.testing.assert_allclose(made, expected, atol=2e-6)
