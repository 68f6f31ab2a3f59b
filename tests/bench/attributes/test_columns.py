import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.bench.attributes.columns import read_column
from rope.errors import UsageError
from rope.files import sha256_of
from tests.dataset.conftest import small_tables, write_tables


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Products 1, 2, 21 and 22; 1 and 21 are fruit, the others bread."""
    return write_tables(tmp_path_factory.mktemp("columns") / "data", small_tables())


def write(path, content):
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    else:
        pq.write_table(pa.table(content), path)
    return path


def test_a_column_of_the_products_table_has_both_splits(directory):
    column = read_column(directory, "category")
    assert column.values == {"1": ("fruit",), "2": ("bread",), "21": ("fruit",), "22": ("bread",)}
    assert (column.is_tags, column.sha256) == (False, None)


@pytest.mark.parametrize(
    ("name", "content", "separator", "is_tags", "values"),
    [
        ("a.csv", "product_id,x\n1, red \n2,\n", None, False, {"1": ("red",)}),
        ("a.csv", '\ufeffproduct_id,x\n1,"red, blue"\n', None, False, {"1": ("red, blue",)}),
        ("a.csv", "product_id,x\n1,red| blue|red\n2,|\n21,\n", "|", True, {"1": ("blue", "red"), "2": ()}),
        ("a.parquet", {"product_id": ["1", "2"], "x": ["red", None]}, None, False, {"1": ("red",)}),
        ("a.parquet", {"product_id": [1, 2], "x": [3, 4]}, None, False, {"1": ("3",), "2": ("4",)}),
        ("a.parquet", {"product_id": ["1"], "x": [True]}, None, False, {"1": ("True",)}),
        (
            "a.parquet",
            {"product_id": ["1", "2", "21"], "x": [["b", "a"], [], None]},
            None,
            True,
            {"1": ("a", "b"), "2": ()},
        ),
    ],
)
def test_a_file_of_labels_is_read_with_classes_or_tags(name, content, separator, is_tags, values, directory, tmp_path):
    file = write(tmp_path / name, content)
    column = read_column(directory, "x", file, separator)
    assert (column.is_tags, column.values, column.sha256) == (is_tags, values, sha256_of(file))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "product_id,y\n1,a\n", r"a\.csv: no column 'x'; beside product_id it has y"),
        ("a.csv", "id,x\n1,a\n", r"no column 'product_id'"),
        ("a.csv", "", r"no column 'product_id'; beside product_id it has none"),
        ("a.csv", "product_id,x\n1,a\n2,b,c\n", r"a\.csv:3: 3 fields, expected 2"),
        ("a.csv", "product_id,x,x\n1,a,b\n", r"names 'x' twice"),
        ("a.csv", "product_id,x\n1,a\n1,b\n", r"product '1' more than once"),
        ("a.csv", "product_id,x\n1,a\n7,b\n8,b\n", r"2 products \('7', '8'\) not in the dataset"),
        ("a.csv", "product_id,x\n1,\n", r"no product has a value in the column 'x'"),
        ("a.txt", "product_id,x\n", r"ends in \.csv or \.parquet"),
        ("a.parquet", "no parquet", r"not readable as Parquet"),
        ("a.parquet", {"product_id": ["1"], "x": [0.5]}, r"'x' is double; expected text"),
        ("a.parquet", {"product_id": ["1"], "x": [[0.5]]}, r"'x' is list<.*>; expected text"),
    ],
)
def test_a_bad_file_of_labels_is_refused_in_one_sentence(name, content, message, directory, tmp_path):
    with pytest.raises(UsageError, match=message):
        read_column(directory, "x", write(tmp_path / name, content))


def test_a_missing_column_or_file_is_named(directory, tmp_path):
    with pytest.raises(UsageError, match="the products table: no column 'brand'; beside product_id it has category"):
        read_column(directory, "brand")
    with pytest.raises(UsageError, match="no such file"):
        read_column(directory, "x", tmp_path / "none.csv")
