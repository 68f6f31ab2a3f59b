"""What is wrong with a raw pool, planted with known answers: near-duplicates, wrong texts, unreadable images."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from rope.domain import DomainName
from rope.synthetic.catalogue import Product
from rope.synthetic.copies import TRANSFORMS, Transform, draw_transform
from rope.synthetic.samples import DrawnSample
from rope.synthetic.seeds import pick
from rope.synthetic.texts import names_category

__all__ = ["POISONS", "MismatchKind", "PlantedRow", "Poison", "plant"]

MismatchKind = Literal["far", "near"]
Poison = Literal["truncated", "not_an_image", "missing"]
POISONS: Final[tuple[Poison, ...]] = get_args(Poison)

_COPY_SHARE: Final = 0.1
_MISMATCH_SHARE: Final = 0.1
_POISON_SHARE: Final = 0.005
_FAR_SHARE: Final = 0.75
"""Share of the wrong texts that come from another category."""


@dataclass(frozen=True, slots=True)
class PlantedRow:
    """A row of the pool together with its answers.

    Attributes:
        product: the product that is shown.
        domain: `page`, `video` or `live`.
        images: file names, in temporal order.
        text: the text in the pool.
        true_text: the text that belongs to the images.
        mismatch: `far` where the text is another category's, `near` where it is another product's of the same category.
        dup_group: number of its group of near-duplicates.
        transform: what made this row a copy of the row with the images `copied_from`; None where it is none's copy.
        copied_from: the images of the original; empty where there is none.
        poison: what was done to its middle image.
    """

    product: Product
    domain: DomainName
    images: tuple[str, ...]
    text: str | None
    true_text: str | None
    mismatch: MismatchKind | None = None
    dup_group: int | None = None
    transform: Transform | None = None
    copied_from: tuple[str, ...] = ()
    poison: Poison | None = None


def plant(rng: np.random.Generator, products: Sequence[Product], samples: Sequence[DrawnSample]) -> list[PlantedRow]:
    """Turn samples into the rows of a pool, in an order that tells nothing; no row has two kinds of fault.

    One copy is added for every ten samples. A tenth of the samples get a wrong text; only such are chosen whose own
    text and new text both say what kind of product they are about, so that a reader could tell. One in 200 becomes
    unreadable, and in a pool of thirty or more at least three.
    """
    rows = [PlantedRow(products[s.product], s.domain, s.images, s.text, s.text) for s in samples]
    free = iter(rng.permutation(len(rows)).tolist())
    copies = _plant_copies(rng, rows, free)
    _plant_poison(rows, free)
    _plant_mismatches(rng, rows, free)
    rows += copies
    return [rows[i] for i in rng.permutation(len(rows))]


def _plant_copies(rng: np.random.Generator, rows: list[PlantedRow], free: Iterator[int]) -> list[PlantedRow]:
    """Mark originals among `rows`, and return their copies: one to three of each."""
    wanted = round(_COPY_SHARE * len(rows))
    copies: list[PlantedRow] = []
    group = 0
    while len(copies) < wanted:
        index = next(free)
        rows[index] = replace(rows[index], dup_group=group)
        n_copies = int(rng.choice(3, p=(0.6, 0.3, 0.1))) + 1
        for number in range(min(n_copies, wanted - len(copies))):
            transform = draw_transform(rng, TRANSFORMS[len(copies) % len(TRANSFORMS)])
            copies.append(_copy(rows[index], number, transform))
        group += 1
    return copies


def _copy(original: PlantedRow, number: int, transform: Transform) -> PlantedRow:
    images = tuple(f"{uuid.uuid5(uuid.NAMESPACE_OID, f'{name}/{number}')}.jpg" for name in original.images)
    return replace(original, images=images, transform=transform, copied_from=original.images)


def _plant_poison(rows: list[PlantedRow], free: Iterator[int]) -> None:
    """Mark rows whose middle image is to be damaged, in each way in turn."""
    n_poisoned = max(round(_POISON_SHARE * len(rows)), min(3, len(rows) // 10))
    for number in range(n_poisoned):
        index = next(free)
        rows[index] = replace(rows[index], poison=POISONS[number % len(POISONS)])


def _plant_mismatches(rng: np.random.Generator, rows: list[PlantedRow], free: Iterator[int]) -> None:
    """Give rows the true text of another product in the same domain; fewer than wanted where too few can be told."""
    donors: dict[tuple[DomainName, str], list[PlantedRow]] = defaultdict(list)
    for row in filter(_tells, rows):
        donors[row.domain, row.product.category].append(row)
    left = round(_MISMATCH_SHARE * len(rows))
    for index in filter(lambda index: _tells(rows[index]), free):
        if left == 0:
            return
        kind: MismatchKind = "far" if rng.random() < _FAR_SHARE else "near"
        text = _draw_wrong_text(rng, rows[index], kind, donors)
        if text is not None:
            rows[index] = replace(rows[index], text=text, mismatch=kind)
            left -= 1


def _tells(row: PlantedRow) -> bool:
    """Whether a row's own text says what kind of product it is about."""
    return row.true_text is not None and names_category(row.true_text, row.product.wording.category)


def _draw_wrong_text(
    rng: np.random.Generator,
    row: PlantedRow,
    kind: MismatchKind,
    donors: Mapping[tuple[DomainName, str], Sequence[PlantedRow]],
) -> str | None:
    """Draw a category, each as likely as the others, then a text of another product of it; None where there is none."""
    categories = [c for domain, c in donors if domain == row.domain and (c == row.product.category) == (kind == "near")]
    if not categories:
        return None
    others = [d for d in donors[row.domain, pick(rng, categories)] if d.product.index != row.product.index]
    texts = [donor.true_text for donor in others if donor.true_text != row.true_text]
    return pick(rng, texts) if texts else None
