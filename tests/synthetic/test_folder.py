from pathlib import Path

import pytest

from rope.errors import UsageError
from rope.synthetic.folder import new_folder


def _write_half(out: Path) -> None:
    with new_folder(out) as folder:
        (folder / "half.txt").write_text("half")
        assert not out.exists()
        raise RuntimeError("crash")


def test_nothing_is_there_until_the_block_ends_and_nothing_stays_when_it_fails(tmp_path):
    out = tmp_path / "a" / "out"
    with pytest.raises(RuntimeError, match="crash"):
        _write_half(out)
    assert list(out.parent.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path):
    with new_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("whole")
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "a.txt").write_text("whole")
    assert (tmp_path / "empty" / "a.txt").read_text() == (tmp_path / "out" / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("kind", ["file", "full folder"])
def test_what_is_there_is_never_overwritten(tmp_path, kind):
    out = tmp_path / "out"
    target = out if kind == "file" else out / "mine.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists and is not an empty folder"), new_folder(out):
        pass
    assert target.read_text() == "precious"
