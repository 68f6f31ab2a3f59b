"""The order of positives within each query."""

import numpy as np
import pytest

from rope.bench.ranking.pair_counts import best_first


@pytest.mark.parametrize(
    "lengths",
    [[], [1], [5, 1, 5, 2, 1], [0, 700, 3, 0, 3], list(range(40))],
    ids=["none", "one", "mixed", "one long", "each its own"],
)
@pytest.mark.parametrize("decimals", [0, 1, 9], ids=["mostly ties", "some ties", "no ties"])
def test_rows_are_ordered_as_by_one_sort_of_all_numbers(lengths: list[int], decimals: int) -> None:
    rows = np.repeat(np.arange(len(lengths)), np.array(lengths, np.int64))
    similarities = np.round(np.random.default_rng(len(rows)).uniform(-1, 1, len(rows)), decimals)

    np.testing.assert_array_equal(best_first(similarities, rows), np.lexsort((-similarities, rows)))
