"""Where two scores differ: what was submitted, and what was computed again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from rope.bench.stats.query_ranks import QueryRanks

__all__ = ["ROUNDING", "are_alike", "differences", "different_numbers"]

_LAST_DIGITS: Final = ("ci95", "expected_ci95", "ci95_draws", "std", "std_bound")
"""Numbers whose last digits differ between machines, as sums of float64 do; all others must be equal."""

ROUNDING: Final = 1e-9
_SHOWN: Final = 3


def different_numbers(
    told: Mapping[str, Any],
    found: Mapping[str, Any],
    keys: Sequence[str],
    ranks: QueryRanks,
    again: QueryRanks,
    source: str,
) -> list[str]:
    """Where a score differs from what was computed again, a sentence each; the first few.

    Args:
        told: the score of the entry.
        found: the same, computed again.
        keys: what is compared of them.
        ranks: of the entry.
        again: computed again.
        source: what they were computed from.
    """
    problems = [
        f"{where} is {one}, but its {source} give {value}"
        for key in keys
        for where, one, value in differences(told[key], found[key], key)
    ]
    if not problems and not _same_ranks(ranks, again):
        problems.append(f"the ranks are not those of its {source}")
    more = [f"and {len(problems) - _SHOWN} more numbers differ"] if len(problems) > _SHOWN else []
    return problems[:_SHOWN] + more


def differences(told: Any, found: Any, where: str, tolerance: float = 0.0) -> list[tuple[str, Any, Any]]:  # noqa: ANN401
    """The places at which two JSON values differ, each with both values; numbers may by `tolerance`."""
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        return [
            difference
            for key in sorted({*told, *found})
            for difference in differences(
                told.get(key), found.get(key), f"{where}.{key}", ROUNDING if key in _LAST_DIGITS else tolerance
            )
        ]
    return [] if are_alike(told, found, tolerance) else [(where, told, found)]


def are_alike(told: Any, found: Any, tolerance: float) -> bool:  # noqa: ANN401 (JSON values)
    """Whether two JSON values are equal, numbers to within a tolerance."""
    if isinstance(told, list | tuple) and isinstance(found, list | tuple):
        return len(told) == len(found) and all(are_alike(a, b, tolerance) for a, b in zip(told, found, strict=True))
    if isinstance(told, int | float) and isinstance(found, int | float):
        return abs(told - found) <= tolerance
    return bool(told == found)


def _same_ranks(told: QueryRanks, found: QueryRanks) -> bool:
    return told.product_ids == found.product_ids and all(
        name in told.pairs
        and told.pairs[name].query_ids == pair.query_ids
        and np.array_equal(told.pairs[name].products, pair.products)
        and np.array_equal(told.pairs[name].n_positives, pair.n_positives)
        and np.array_equal(told.pairs[name].rank, pair.rank)
        and np.array_equal(told.pairs[name].rank_optimistic, pair.rank_optimistic)
        and np.array_equal(told.pairs[name].average_precision, pair.average_precision)
        and np.array_equal(told.pairs[name].hits, pair.hits)
        for name, pair in found.pairs.items()
    )
