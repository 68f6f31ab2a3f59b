import numpy as np
import pytest
from PIL import Image

from rope.curation.dedup.registration import IDENTITY, register, warped


def blobs(seed, side=96):
    """A smooth random picture, [side, side] from 0 to 1."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255


def small(picture):
    return np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX))[None]


@pytest.mark.parametrize(("left", "top", "kept"), [(0, 0, 90), (3, 5, 88), (6, 0, 90)])
def test_a_crop_is_found_with_its_place_and_scale(left, top, kept):
    picture = blobs(0)
    crop = picture[top : top + kept, left : left + kept]
    start = np.array(IDENTITY[None])
    maps = register(small(crop), small(picture), start, iterations=15)
    centre_x, centre_y = (2 * (left + kept / 2) / 96 - 1, 2 * (top + kept / 2) / 96 - 1)
    expected = [[kept / 96, 0, centre_x], [0, kept / 96, centre_y]]
    np.testing.assert_allclose(maps[0], expected, atol=0.01)


def test_brightness_and_contrast_do_not_move_the_map():
    picture = small(blobs(1))
    maps = register(picture * np.float32(0.6) + np.float32(0.2), picture, np.array(IDENTITY[None]), iterations=8)
    np.testing.assert_allclose(maps[0], IDENTITY, atol=1e-3)


def test_a_pair_is_registered_alone_whatever_is_beside_it():
    many = np.concatenate([small(blobs(seed)) for seed in range(6)])
    start = np.repeat(IDENTITY[None], 6, axis=0)
    together = register(many, many[::-1].copy(), start, iterations=8)
    alone = [register(many[i : i + 1], many[5 - i : 6 - i], start[:1], iterations=8)[0] for i in range(6)]
    np.testing.assert_array_equal(together, alone)


def test_places_outside_are_marked():
    shifted = IDENTITY + np.array([[0, 0, 1], [0, 0, 0]], np.float32)
    _, inside = warped(small(blobs(2)), shifted[None])
    assert inside.reshape(32, 32).sum(axis=1).tolist() == [16] * 32
