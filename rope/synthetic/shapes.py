"""The outlines of twenty kinds of product, as data: parts in a square, painted in order."""

from dataclasses import dataclass
from typing import Final, Literal, cast

__all__ = ["SHAPES", "Outline", "Paint", "Point", "ProductShape", "ShapePart", "parse_shape"]

Outline = Literal["polygon", "curve", "ellipse", "box"]
"""How a part's points are read: corners, corners to be rounded off, or two opposite corners of a bounding box."""

Paint = Literal["body", "trim", "ink", "pale", "hole"]
"""What fills a part: the patterned main colour, the trim colour, near black, near white, or nothing (see-through)."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ShapePart:
    """One piece of a shape.

    Attributes:
        outline: how `points` are read.
        paint: what fills it.
        points: (x, y) from the top left corner, in units of the side of the square.
        optional: True where some products of the shape have the part and others do not.
    """

    outline: Outline
    paint: Paint
    points: tuple[Point, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class ProductShape:
    """The parts of a kind of product, and two corners of the box where its brand word is printed."""

    parts: tuple[ShapePart, ...]
    label: tuple[Point, Point]


def parse_shape(text: str) -> ProductShape:
    r"""Read a shape: one part a line, `outline paint x,y x,y ...` in percent of the side; `?` marks an optional part.

    The last line is `label x,y x,y`.

    >>> shape = parse_shape("box body 10,20 90,80\n ellipse? trim 40,40 60,60\n label 20,30 80,50")
    >>> shape.parts[1].optional, shape.parts[1].points, shape.label
    (True, ((0.4, 0.4), (0.6, 0.6)), ((0.2, 0.3), (0.8, 0.5)))
    """
    *parts, label = (line.split() for line in text.strip().splitlines())
    first, second = _points(label[1:])
    return ProductShape(tuple(_part(words) for words in parts), (first, second))


def _part(words: list[str]) -> ShapePart:
    outline = cast(Outline, words[0].rstrip("?"))
    return ShapePart(outline, cast(Paint, words[1]), _points(words[2:]), words[0].endswith("?"))


def _points(words: list[str]) -> tuple[Point, ...]:
    pairs = (word.split(",") for word in words)
    return tuple((float(x) / 100, float(y) / 100) for x, y in pairs)


_DRAWINGS: Final[dict[str, str]] = {
    "dress": """
        polygon body 35,6 41,6 43,16 57,16 59,6 65,6 67,30 63,44 88,95 12,95 37,44 33,30
        polygon trim 36.5,41 63.5,41 64.5,47.5 35.5,47.5
        curve? body 34,10 20,22 24,32 36,26
        curve? body 66,10 80,22 76,32 64,26
        polygon? trim 15,89 85,89 88,95 12,95
        label 41,24 59,33
    """,
    "t_shirt": """
        polygon body 32,13 68,13 96,32 86,48 74,41 74,90 26,90 26,41 14,48 4,32
        ellipse trim 37,7 63,23
        ellipse pale 40,7 60,20
        box? trim 55,40 68,53
        polygon? trim 26,84 74,84 74,90 26,90
        label 34,56 66,68
    """,
    "trousers": """
        polygon body 30,5 70,5 78,95 56,95 50,36 44,95 22,95
        polygon trim 30,5 70,5 70.6,12 29.4,12
        polygon? trim 22.2,89 44.5,89 44,95 22,95
        polygon? trim 55.5,89 77.8,89 78,95 56,95
        box? trim 58,19 69,27
        label 31,18 48,26
    """,
    "cap": """
        curve body 12,66 12,20 36,12 64,12 84,24 84,66
        curve trim 40,62 84,56 100,74 92,82 60,70 36,72
        ellipse trim 45,12 53,18
        polygon? ink 16,60 80,60 80,64 16,64
        label 28,36 68,53
    """,
    "sneaker": """
        curve body 3,24 20,22 36,26 48,46 76,52 97,60 102,88 -2,88
        curve ink 5,25 20,22 35,27 28,36 9,37
        box pale 3,74 97,83
        polygon? trim 30,72 42,50 48,53 38,72
        polygon? trim 44,72 54,54 60,56 52,72
        curve? trim 80,60 98,70 96,76 76,76
        box? trim 3,79 97,84
        label 8,52 29,63
    """,
    "handbag": """
        ellipse trim 27,6 73,70
        ellipse hole 32,12 68,66
        curve body 10,36 90,36 97,62 94,94 6,94 3,62
        curve? trim 10,37 90,37 84,60 50,68 16,60
        ellipse pale 46,57 54,65
        polygon? ink 7,86 93,86 92,90 8,90
        label 30,70 70,82
    """,
    "backpack": """
        ellipse ink 38,2 62,26
        box trim 8,40 24,86
        box trim 76,40 92,86
        curve body 16,94 16,20 34,10 66,10 84,20 84,94
        box trim 25,54 75,86
        polygon ink 25,60 75,60 75,62.5 25,62.5
        polygon? pale 20,44 80,44 80,46 20,46
        ellipse? pale 67,20 75,28
        label 33,25 67,37
    """,
    "mug": """
        ellipse trim 58,30 98,74
        ellipse hole 66,39 90,66
        polygon body 10,16 76,16 72,88 14,88
        ellipse body 14,82 72,94
        ellipse ink 10,10 76,23
        polygon? trim 13.5,76 72.8,76 72.4,84 13.8,84
        ellipse? pale 33,29 53,42
        label 20,48 66,64
    """,
    "thermos": """
        box trim 36,3 64,22
        box ink 38,19 62,27
        curve body 29,95 29,26 71,26 71,95
        box trim 29,84 71,95
        curve? ink 62,8 86,6 84,40 76,40 77,14 62,14
        polygon? pale 30,40 70,40 70,43 30,43
        label 33,54 67,66
    """,
    "lipstick": """
        polygon body 40,38 40,16 55,4 60,14 60,38
        box pale 37,36 63,54
        box trim 33,52 67,96
        polygon? ink 33,56 67,56 67,59 33,59
        polygon? body 33,88 67,88 67,92 33,92
        box? body 74,42 94,96
        label 35,66 65,78
    """,
    "cream": """
        box body 8,44 92,90
        box trim 6,22 94,48
        ellipse trim 6,16 94,32
        polygon pale 6,43 94,43 94,45 6,45
        ellipse? pale 42,19 58,28
        polygon? trim 8,82 92,82 92,86 8,86
        label 26,56 74,74
    """,
    "shampoo": """
        polygon ink 32,6 56,4 56,12 53,26 47,26 47,12 32,12
        box trim 38,18 62,28
        curve body 24,96 24,36 38,26 62,26 76,36 76,96
        box? pale 29,46 71,82
        ellipse? trim 40,71 60,80
        polygon? trim 26,88 74,88 74,92 26,92
        label 32,52 68,64
    """,
    "snack": """
        curve body 14,5 86,5 80,30 83,70 88,95 12,95 17,70 20,30
        polygon trim 20,5 80,5 80,12 20,12
        polygon trim 18,88 82,88 82,95 18,95
        ellipse? pale 30,52 70,82
        ellipse? trim 38,58 62,76
        ellipse? ink 20,60 36,72
        label 27,26 73,42
    """,
    "milk": """
        polygon body 22,30 78,30 78,96 22,96
        polygon trim 30,12 70,12 78,30 22,30
        box pale 30,5 70,13
        ellipse? ink 56,17 67,26
        curve? pale 24,72 50,62 76,76 76,94 24,94
        polygon? trim 22,86 78,86 78,91 22,91
        label 28,40 72,55
    """,
    "soda": """
        box body 26,8 74,94
        ellipse pale 28,4 72,13
        polygon pale 28,89 72,89 70,95 30,95
        polygon? trim 26,56 74,30 74,46 26,72
        ellipse? trim 36,62 64,80
        ellipse ink 44,6 56,10
        label 30,20 70,34
    """,
    "phone_case": """
        box body 25,4 75,96
        box ink 29,8 51,28
        ellipse pale 31,10 39,18
        ellipse pale 41,18 49,26
        ellipse? trim 36,36 64,64
        ellipse? trim 40,72 60,90
        polygon? trim 25,90 75,90 75,93 25,93
        label 31,66 69,78
    """,
    "watch": """
        polygon body 39,2 61,2 64,34 36,34
        polygon body 36,66 64,66 61,98 39,98
        ellipse trim 24,24 76,76
        ellipse pale 30,30 70,70
        polygon ink 49,36 51,36 51,51 66,55 65,57 49,52
        box ink 75,47 81,53
        ellipse? body 36,52 46,62
        ellipse? body 45,60 53,68
        label 38,40 62,48
    """,
    "desk_lamp": """
        polygon ink 47,40 53,40 53,90 47,90
        ellipse trim 26,84 74,97
        polygon body 34,6 66,6 90,50 10,50
        polygon? trim 12.5,45 87.5,45 90,50 10,50
        polygon? trim 34,6 66,6 68,10 32,10
        ellipse? trim 42,64 58,76
        label 35,24 65,36
    """,
    "cushion": """
        curve body 2,4 50,13 98,4 90,50 98,96 50,88 2,96 10,50
        ellipse? trim 26,22 74,66
        polygon? trim 12,74 88,74 89,80 11,80
        ellipse? ink 47,34 53,40
        label 32,42 68,56
    """,
    "umbrella": """
        polygon ink 48.5,4 51.5,4 51.5,90 48.5,90
        curve ink 50,84 52,90 60,90 62,82 66,82 64,97 48,97 47,84
        curve body 2,56 8,22 34,8 66,8 92,22 98,56 82,48 66,58 50,48 34,58 18,48
        curve? trim 34,56 42,20 50,8 58,20 66,56 50,48
        polygon? trim 6,44 94,44 95,48 5,48
        label 34,28 66,40
    """,
}

SHAPES: Final[dict[str, ProductShape]] = {name: parse_shape(drawing) for name, drawing in _DRAWINGS.items()}
"""Category -> its shape, the most frequent category first."""
