import numpy as np
import pytest

from rope.errors import DatasetError
from rope.feed.products import read_product_rows
from tests.feed.conftest import SIZES, write_products


def test_rows_are_those_of_the_product(data):
    grouped = read_product_rows(data, "train", ["page", "live"])
    assert grouped.product_ids == list(SIZES)
    starts = np.cumsum([0, *(live for _, _, live in SIZES.values())]).tolist()
    assert [grouped.of(i, "live").tolist() for i in range(23)] == [list(range(*starts[i : i + 2])) for i in range(23)]


def test_products_that_lack_a_domain_are_named(tmp_path):
    sizes = {"a": (1, 1, 0), "b": (2, 1, 1), "c": (0, 2, 1), "d": (1, 1, 1)}
    directory = write_products(tmp_path / "data", sizes)
    grouped = read_product_rows(directory, "train", ["page", "video", "live"])
    assert (grouped.product_ids, grouped.left_out) == (["b", "d"], ["a", "c"])
    assert [grouped.of(i, "page").tolist() for i in (0, 1)] == [[1, 2], [3]]
    assert [grouped.of(i, "video").tolist() for i in (0, 1)] == [[1], [4]]
    assert read_product_rows(directory, "train", ["video"]).left_out == []


@pytest.mark.parametrize(
    ("split", "expected"),
    [("train", "none of the 1 products of the split train has samples in all"), ("validation", "has no split val")],
)
def test_a_split_without_a_whole_product_is_refused(split, expected, tmp_path):
    with pytest.raises(DatasetError, match=expected):
        read_product_rows(write_products(tmp_path / "data", {"a": (1, 1, 0)}), split, ["page", "live"])
