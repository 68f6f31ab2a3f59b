"""The sides of an earlier split that stay: what was in validation is never trained on, and the other way round.

A row has the side that it had. A product is on the validation side if one of its rows was, whatever it is called now,
else on the training side if one was, else it is new. What would be on both sides, or be tied to a product of the other,
is left out of both:

1. Rows that were in train, of a product that is in validation now, as when a merge joins two products.
2. Validation products that lack a domain now.
3. New products that are tied to a validation product, and then training products that still are.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import BoolArray, IntArray
from rope.curation.pipeline.operation import Earlier
from rope.curation.splitting.leakage_groups import LeakageGroups

__all__ = [
    "NEW",
    "REASONS",
    "RUN_COLUMN",
    "TIED",
    "TRAIN",
    "VALIDATION",
    "WAS_TRAIN",
    "WAS_VALIDATION",
    "read_sides",
    "settle_products",
]

NEW: Final = 0
TRAIN: Final = 1
VALIDATION: Final = 2

REASONS: Final = ("", "no_product", "was_in_train", "was_in_validation", "tied_to_validation")
"""Why a row is left out of both sides; empty for one that is not."""

WAS_TRAIN: Final = REASONS.index("was_in_train")
WAS_VALIDATION: Final = REASONS.index("was_in_validation")
TIED: Final = REASONS.index("tied_to_validation")

RUN_COLUMN: Final = "split_in"
"""Column, where there is a previous run: which run has put a product on its side; null for this one."""

_SIDES: Final = {"train": TRAIN, "validation": VALIDATION, "was_in_train": TRAIN, "was_in_validation": VALIDATION}


def read_sides(earlier: Earlier, ids: pa.ChunkedArray) -> tuple[IntArray, pa.Array]:
    """The side that each of some rows had, and the run that decided it.

    Rows that were left out keep their side too, for the day on which what they were tied to is gone.

    Args:
        earlier: the earlier split.
        ids: of the rows now.

    Returns:
        int64 [rows] of `NEW`, `TRAIN` and `VALIDATION`; strings [rows], null for new ones.
    """
    tables = []
    for path in earlier.kept:
        rows = pq.read_table(path, columns=["id", "split", *({RUN_COLUMN} & set(pq.read_schema(path).names))])
        run = rows[RUN_COLUMN] if RUN_COLUMN in rows.column_names else pa.nulls(len(rows), pa.string())
        tables.append(pa.table({"id": rows["id"], "side": rows["split"], "run": pc.fill_null(run, earlier.run)}))
    for path in earlier.rejects:
        rows = pq.read_table(path, columns=["id", "reason"])
        rows = rows.filter(pc.is_in(rows["reason"], pa.array(list(_SIDES))))
        run = pa.array([earlier.run] * len(rows), pa.string())
        tables.append(pa.table({"id": rows["id"], "side": rows["reason"], "run": run}))
    known = pa.concat_tables(tables)
    place = pc.index_in(ids, known["id"]).combine_chunks()
    numbers = pa.array(list(_SIDES.values()), pa.int64()).take(pc.index_in(known["side"], pa.array(list(_SIDES))))
    return pc.fill_null(numbers.take(place), NEW).to_numpy(), known["run"].take(place).combine_chunks()


def settle_products(
    side: IntArray, complete: BoolArray, tie: Callable[[BoolArray], LeakageGroups]
) -> tuple[IntArray, LeakageGroups]:
    """Which of n products are left out, so that no product that was on one side is tied to one of the other.

    Args:
        side: int64 [n]; of each product.
        complete: bool [n]; whether it has all that validation asks for.
        tie: the leakage groups, where the ties of products that are False in a mask [n] do not count.

    Returns:
        int64 [n], places in `REASONS`; and the leakage groups of the others.
    """
    out = np.where((side == VALIDATION) & ~complete, WAS_VALIDATION, 0)
    if not (side == VALIDATION).any():
        return out, tie(out == 0)
    while True:
        before = out.copy()
        for one, reason in ((NEW, TIED), (TRAIN, WAS_TRAIN)):
            groups = tie(out == 0)
            holds = np.zeros(len(side), np.bool_)
            holds[groups.group[(side == VALIDATION) & (out == 0)]] = True
            out[holds[groups.group] & (side == one) & (out == 0)] = reason
        if (out == before).all():
            return out, groups
