import pytest

from rope.errors import UsageError
from rope.synthetic.workers import map_in_order


@pytest.mark.parametrize(("workers", "items"), [(1, [3, -1, 2]), (2, [3, -1, 2]), (2, [])])
def test_results_come_in_the_order_of_the_items(workers, items):
    results = map_in_order(abs, items, workers=workers, progress=True, description="abs")
    assert results == [abs(item) for item in items]


def test_a_worker_is_needed():
    with pytest.raises(UsageError, match="workers is 0"):
        map_in_order(abs, [1], workers=0, progress=False, description="abs")
