import numpy as np
import pytest
from PIL import Image

from rope.synthetic.camera import Light, Pose, blur_motion, illuminate, place

SPRITE = Image.new("RGBA", (40, 20), (255, 255, 255, 255))


def _lit(pose: Pose) -> np.ndarray:
    canvas = Image.new("RGB", (100, 100))
    place(canvas, SPRITE, pose)
    return np.asarray(canvas)[:, :, 0] > 127


@pytest.mark.parametrize(
    ("pose", "width", "height"),
    [
        (Pose(50, 40, size=40), 40, 20),
        (Pose(50, 40, size=20), 20, 10),
        (Pose(50, 40, size=60), 60, 30),
        (Pose(50, 40, size=40, angle=90), 20, 40),
        (Pose(50, 40, size=40, squeeze=0.5), 20, 20),
        (Pose(50, 40, size=40, slant=0.5), 50, 20),
    ],
)
def test_a_sprite_lands_at_its_pose(pose, width, height):
    rows, columns = np.nonzero(_lit(pose))
    assert (rows.mean(), columns.mean()) == pytest.approx((40, 50), abs=1.5)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == pytest.approx((width, height), abs=2)


def test_what_lies_outside_the_canvas_is_cut_off():
    assert _lit(Pose(0, 0, size=40)).sum() == pytest.approx(20 * 10, rel=0.2)


def test_a_neutral_light_changes_nothing():
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert illuminate(image, Light((1.0, 1.0, 1.0), wash=0.0, lift=0.0)) == image


def test_motion_spreads_a_point_along_its_way():
    point = Image.new("RGB", (9, 9))
    point.putpixel((2, 4), (200, 200, 200))
    lit = np.argwhere(np.asarray(blur_motion(point, 4, 0))[:, :, 0])
    assert lit.tolist() == [[4, 2], [4, 4], [4, 6], [4, 8]]
