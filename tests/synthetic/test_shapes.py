import pytest

from rope.synthetic.shapes import SHAPES
from rope.synthetic.vocabulary import CATEGORIES


def test_every_category_has_a_shape():
    assert {category.name for category in CATEGORIES} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_a_body_optional_parts_and_a_label_inside_the_square(name):
    shape = SHAPES[name]
    (x0, y0), (x1, y1) = shape.label
    assert 0 < x0 < x1 < 1
    assert 0 < y0 < y1 < 1
    assert any(part.paint == "body" and not part.optional for part in shape.parts)
    assert sum(part.optional for part in shape.parts) >= 1


@pytest.mark.parametrize("name", SHAPES)
def test_boxes_and_ellipses_have_two_ordered_corners_and_polygons_three_or_more(name):
    for part in SHAPES[name].parts:
        if part.outline in ("box", "ellipse"):
            (x0, y0), (x1, y1) = part.points
            assert (x0 < x1, y0 < y1) == (True, True)
        else:
            assert len(part.points) >= 3
