import duckdb
import pytest

from rope.errors import UsageError
from rope.fetch.checksums import load_checksums


def loaded(path):
    with duckdb.connect() as connection:
        load_checksums(connection, path)
        return sorted(connection.execute("SELECT * FROM checksums").fetchall())


def test_lines_of_sha256sum_and_md5sum_are_read(tmp_path):
    path = tmp_path / "sums"
    path.write_text(f"{'a' * 64}  ./x y.jpg\r\n{'B' * 32} *b//空.jpg\n\n{'c' * 40}  c.jpg")
    assert loaded(path) == [("b/空.jpg", "B" * 32), ("c.jpg", "c" * 40), ("x y.jpg", "a" * 64)]
    assert loaded(None) == []


@pytest.mark.parametrize("line", [f"{'a' * 63}  x.jpg", f"{'g' * 64}  x.jpg", f"{'a' * 64}", "x.jpg"])
def test_another_line_is_named(line, tmp_path):
    path = tmp_path / "sums"
    path.write_text(f"{'a' * 64}  x.jpg\n{line}\n")
    with pytest.raises(UsageError, match=r"sums:2: expected an MD5, SHA-1 or SHA-256 in hex"):
        loaded(path)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file; expected a list of checksums"):
        loaded(tmp_path / "sums")
