"""products.tsv by the rules of the other files."""

import duckdb
import pytest

from rope.errors import ReleaseError
from rope.sources.categories import read_categories
from rope.sources.faults import FILES_TABLE
from rope.sources.reading import Reading

HEADER = "product_id\tcategory\n"
ROWS = "".join(f"{i}\tc{i % 3}\n" for i in range(9))
CATEGORIES = {str(i): f"c{i % 3}" for i in range(9)}


def read(folder, content):
    """The categories, the faults without their file, and the row of the table `files`."""
    path = folder / "products.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE faults (file VARCHAR, line BIGINT, kind VARCHAR, subject VARCHAR)")
        connection.execute(FILES_TABLE)
        read_categories(connection, path, Reading(lambda _: None), "SELECT '1'")
        return (
            dict(connection.sql("FROM categories").fetchall()),
            connection.sql("SELECT line, kind, subject FROM faults ORDER BY ALL").fetchall(),
            connection.sql("SELECT n_rows, n_bad, is_used FROM files").fetchall()[0],
        )


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROWS,
        HEADER + ROWS.replace("\n", "\r\n", 1),
        (HEADER + ROWS).replace("\n", "\r\r\n"),
        (HEADER + ROWS).replace("\n", "\r"),
        (HEADER + ROWS).replace("\n", "\n\n \t\n"),
        "\ufeff\n" + HEADER + ROWS[:-1],
        (HEADER + ROWS).encode("utf-16"),
        HEADER + ROWS.replace("\t", "\u3000\t ").replace("\n", " \u3000\n"),
        "Category\tprice\tPRODUCT_ID\n" + "".join(f"{c}\t9\t{i}\n" for i, c in CATEGORIES.items()),
    ],
)
def test_every_row_gets_its_category(content, tmp_path):
    assert read(tmp_path, content) == (CATEGORIES, [], (9, 0, True))


@pytest.mark.parametrize(
    ("row", "category"),
    [
        ("#9\ta", {"#9": "a"}),
        ("9\t#sale", {"9": "#sale"}),
        ('9\t27" screen', {"9": '27" screen'}),
        ('9\t"bags"', {"9": '"bags"'}),
        ("9\ta,b;c|d\\", {"9": "a,b;c|d\\"}),
        ("09\tNULL", {"09": "NULL"}),
        ("9\ta\0b", {"9": "a\0b"}),
        ("9\t", {}),
        ("9\t空", {}),
        ("8\tc2", {}),
    ],
)
def test_no_other_character_means_anything(row, category, tmp_path):
    found, faults, _ = read(tmp_path, HEADER + ROWS + row)
    assert found == CATEGORIES | category
    assert faults == ([(11, "repeated_row", "8")] if row.startswith("8") else [])


@pytest.mark.parametrize(
    ("row", "fault", "lost"),
    [
        (b"9", (11, "bad_row", "9"), ()),
        (b"9\ta\tb", (11, "bad_row", "9\ta\tb"), ()),
        (b"\ta", (11, "bad_row", "\ta"), ()),
        (b"9\tcaf\xe9", (11, "bad_encoding", ""), ()),
        (b"# made by hand", (11, "bad_row", "# made by hand"), ()),
        (b"9" * 5000 + b"\ta", (11, "long_id", "9" * 100), ()),
        (b"3\tother", (5, "category_conflict", "3"), ("3",)),
    ],
)
def test_a_fault_costs_its_row_or_its_product(row, fault, lost, tmp_path):
    found, faults, _ = read(tmp_path, (HEADER + ROWS).encode() + row)
    assert found == {key: value for key, value in CATEGORIES.items() if key not in lost}
    assert faults == [fault]


def test_lines_before_the_header_are_faults(tmp_path):
    found, faults, counts = read(tmp_path, "# by hand\n" + HEADER + ROWS)
    assert (found, faults, counts) == (CATEGORIES, [(1, "bad_row", "# by hand")], (10, 1, True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\nproduct_id\tcolour\n1\ta\n", r"products\.tsv:2: columns are product_id, colour; expected product_id and"),
        ("product_id,category\n1,a\n", r"products\.tsv:1: columns are product_id,category; expected"),
        ("", r"products\.tsv:1: columns are none; expected product_id and category, separated by tabs"),
    ],
)
def test_a_missing_column_is_one_sentence(content, message, tmp_path):
    with pytest.raises(ReleaseError, match=message) as failure:
        read(tmp_path, content)
    assert "\n" not in str(failure.value)
