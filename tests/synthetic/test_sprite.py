from dataclasses import replace

import numpy as np
import pytest

from rope.synthetic.appearance import draw_appearance, look_alike
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.shapes import SHAPES
from rope.synthetic.sprite import SPRITE_SIDE, draw_sprite


@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_fills_part_of_its_square_and_the_rest_is_transparent(shape):
    look = draw_appearance(generator(0, Stream.CATALOGUE, 0), shape, "KAZU")
    sprite = draw_sprite(look)
    assert sprite.mode == "RGBA"
    assert sprite.size == (round(SPRITE_SIDE * look.width), round(SPRITE_SIDE * look.height))
    assert 0.1 < (np.asarray(sprite)[:, :, 3] > 127).mean() < 0.9


def test_the_brand_word_is_all_that_tells_two_brands_apart():
    look = replace(draw_appearance(generator(0, Stream.CATALOGUE, 0), "mug", "KAZU"), width=1.0, height=1.0)
    one, other = (np.asarray(draw_sprite(replace(look, brand=brand))) for brand in ("KAZU", "NIMBO"))
    rows, columns = np.nonzero((one != other).any(axis=2))
    (x0, y0), (x1, y1) = SHAPES["mug"].label
    assert rows.size
    assert y0 * SPRITE_SIDE - 1 <= rows.min() <= rows.max() <= y1 * SPRITE_SIDE + 1
    assert x0 * SPRITE_SIDE - 1 <= columns.min() <= columns.max() <= x1 * SPRITE_SIDE + 1


def test_a_look_alike_is_nearer_than_a_stranger_of_the_same_shape():
    rng = generator(0, Stream.CATALOGUE, 0)
    look = replace(draw_appearance(rng, "dress", "KAZU"), width=1.0, height=1.0)
    stranger = replace(draw_appearance(rng, "dress", "KAZU"), width=1.0, height=1.0)
    sprite, near, far = (
        np.asarray(draw_sprite(one), dtype=float) for one in (look, look_alike(rng, look, "KAZU"), stranger)
    )
    assert 0 < np.abs(sprite - near).mean() < 0.5 * np.abs(sprite - far).mean()
