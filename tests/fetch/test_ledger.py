import duckdb
import pytest

from rope.errors import UsageError
from rope.fetch.ledger import Ledger, load_ledger
from rope.fetch.outcome import LostImage


def lost(image: str, reason: str = "timeout", status: int | None = None) -> LostImage:
    return LostImage(image, "http://x.example/", reason, status, 3, "detail\nwith \0 and 空")


def loaded(path):
    with duckdb.connect() as connection:
        load_ledger(connection, path)
        return sorted(connection.execute("SELECT * FROM lost").fetchall())


def test_the_last_line_on_an_image_counts(tmp_path):
    path = tmp_path / "[1]*" / "failed.jsonl"
    path.parent.mkdir()
    Ledger(path).write([lost("a"), lost("空", "http_status", 404)])
    Ledger(path).write([lost("a", "http_status", 500)])
    assert len(path.read_text().splitlines()) == 3
    assert loaded(path) == [("a", "http_status", 500), ("空", "http_status", 404)]


@pytest.mark.parametrize("n_bytes", [1, 30, 5000])
def test_a_line_without_its_end_is_taken_off(n_bytes, tmp_path):
    path = tmp_path / "failed.jsonl"
    Ledger(path).write([lost("a")])
    whole = path.read_bytes()
    path.write_bytes(whole + b"{" * n_bytes)
    Ledger(path).write([lost("b")])
    assert path.read_bytes().startswith(whole)
    assert [image for image, *_ in loaded(path)] == ["a", "b"]


def test_a_ledger_that_somebody_has_edited_wrongly_is_named(tmp_path):
    path = tmp_path / "failed.jsonl"
    path.write_text('{"image": "a"}\nnot json\n')
    with pytest.raises(UsageError, match=r"failed\.jsonl: cannot be read as a ledger"):
        loaded(path)


def test_without_failures_there_is_no_ledger(tmp_path):
    Ledger(tmp_path / "failed.jsonl").write([])
    assert (list(tmp_path.iterdir()), loaded(tmp_path / "failed.jsonl")) == ([], [])
