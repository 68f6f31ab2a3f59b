import errno
from pathlib import Path

import pytest

from rope.fetch.folder_store import FolderStore, stored_files
from rope.fetch.outcome import Fetched


def test_files_appear_whole_under_their_names(tmp_path):
    store = FolderStore(tmp_path)
    assert store.save([Fetched("a.jpg", b"1"), Fetched("b/c/空.jpg", b"2")]) == []
    assert sorted(stored_files(tmp_path)) == ["a.jpg", "b/c/空.jpg"]
    assert (tmp_path / "b/c/空.jpg").read_bytes() == b"2"


def test_a_name_in_the_way_of_another_is_lost_and_the_rest_goes_on(tmp_path):
    images = [
        Fetched("a", b"1"),
        Fetched("a/b.jpg", b"2"),
        Fetched("c/d.jpg", b"3"),
        Fetched("c", b"4"),
        Fetched("e", b"5"),
    ]
    assert [lost.image for lost in FolderStore(tmp_path).save(images)] == ["a/b.jpg", "c"]
    assert sorted(stored_files(tmp_path)) == ["a", "c/d.jpg", "e"]


def test_a_full_disk_is_no_fault_of_a_name(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = FolderStore(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        store.save([Fetched("a.jpg", b"1")])


def test_what_a_killed_fetch_left_unfinished_is_no_image(tmp_path):
    FolderStore(tmp_path)
    (tmp_path / ".fetch" / "incoming" / "image").write_bytes(b"half")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "failed.jsonl").write_bytes(b"{}")
    FolderStore(tmp_path)
    assert list(stored_files(tmp_path)) == []
    assert list((tmp_path / ".fetch" / "incoming").iterdir()) == []
