import itertools

import numpy as np
import pytest

from rope.synthetic.catalogue import plan_catalogue
from rope.synthetic.scenes import LIVE_SIZE, PAGE_SIZE, VIDEO_SIZE, draw_live, draw_page, draw_video
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.sprite import draw_sprite

SPRITE = draw_sprite(plan_catalogue(1, seed=0)[0].look)


def test_a_page_is_bright_around_the_product():
    pages = [np.asarray(draw_page(generator(0, Stream.PAGE, i), SPRITE)) for i in range(8)]
    assert all(page.shape == (PAGE_SIZE[1], PAGE_SIZE[0], 3) for page in pages)
    assert np.median([np.median(page) for page in pages]) > 190


@pytest.mark.parametrize(
    ("draw", "size", "stream"), [(draw_video, VIDEO_SIZE, Stream.VIDEO), (draw_live, LIVE_SIZE, Stream.LIVE)]
)
def test_a_clip_moves_from_frame_to_frame(draw, size, stream):
    frames = draw(generator(0, stream, 0), SPRITE, 7)
    arrays = [np.asarray(frame, dtype=float) for frame in frames]
    assert [frame.size for frame in frames] == [size] * 7
    assert all(np.abs(a - b).mean() > 0.5 for a, b in itertools.pairwise(arrays))


@pytest.mark.parametrize(("draw", "stream"), [(draw_video, Stream.VIDEO), (draw_live, Stream.LIVE)])
def test_frames_of_a_clip_are_more_alike_than_two_clips(draw, stream):
    one, other = (
        [np.asarray(frame, dtype=float) for frame in draw(generator(0, stream, i), SPRITE, 6)] for i in range(2)
    )
    assert np.abs(one[0] - one[3]).mean() < np.abs(one[0] - other[0]).mean()
