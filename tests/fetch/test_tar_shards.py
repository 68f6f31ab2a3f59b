import subprocess
import tarfile

import duckdb
import pytest

from rope.fetch.outcome import Fetched
from rope.fetch.tar_shards import TarStore, has_shards, load_places, read_place

IMAGES = [
    Fetched("a.jpg", b"A" * 700),
    Fetched("子/" + "b" * 120 + ".jpg", b"B" * 512),
    Fetched("https:/x.example/c.jpg", b"C"),
]


def content_of(folder):
    with duckdb.connect() as connection:
        load_places(connection, folder, "located")
        rows = connection.execute("SELECT * FROM located").fetchall()
    return {image: read_place(folder, *place) for image, *place in rows}


def expected(images):
    return {fetched.image: fetched.content for fetched in images}


def test_other_programs_read_a_shard(tmp_path):
    store = TarStore(tmp_path, 1 << 20)
    store.save(IMAGES)
    store.close()
    with tarfile.open(tmp_path / "images-00000.tar") as tar:
        assert {info.name: tar.extractfile(info).read() for info in tar} == expected(IMAGES)
    listed = subprocess.run(["tar", "-tf", "images-00000.tar"], cwd=tmp_path, capture_output=True, check=True)
    assert len(listed.stdout.splitlines()) == 3
    assert content_of(tmp_path) == expected(IMAGES)


def test_a_shard_that_was_cut_anywhere_keeps_what_is_whole_and_goes_on(tmp_path):
    store = TarStore(tmp_path, 1 << 20)
    store.save(IMAGES)
    part = tmp_path / "images-00000.tar.part"
    whole = part.read_bytes()
    ends = [0, 1536, 1536 + 1536 + 512, len(whole)]  # the long name has an extended header of two blocks
    for n_bytes in range(0, len(whole) + 1, 128):
        part.write_bytes(whole[:n_bytes])
        n_whole = sum(end <= n_bytes for end in ends) - 1
        assert content_of(tmp_path) == expected(IMAGES[:n_whole])
        TarStore(tmp_path, 1 << 20).save(IMAGES[n_whole:])
        assert part.read_bytes() == whole


def test_shards_are_cut_at_their_size_and_numbered_on(tmp_path):
    for image in IMAGES:
        store = TarStore(tmp_path, 1)
        store.save([image])
        store.close()
    names = [path.name for path in sorted(tmp_path.glob("*.tar*"))]
    assert names == [f"images-0000{i}.tar" for i in range(3)]
    assert content_of(tmp_path) == expected(IMAGES)


def test_a_kill_between_the_index_and_the_name_of_a_shard_loses_nothing(tmp_path):
    store = TarStore(tmp_path, 1 << 20)
    store.save(IMAGES[:2])
    store.close()
    (tmp_path / "images-00000.tar").rename(tmp_path / "images-00000.tar.part")
    store = TarStore(tmp_path, 1 << 20)
    store.save(IMAGES[2:])
    store.close()
    assert content_of(tmp_path) == expected(IMAGES)


def test_a_full_disk_leaves_what_is_whole(tmp_path, monkeypatch):
    from rope.fetch import tar_shards

    store, write = TarStore(tmp_path, 1 << 20), tar_shards._write
    store.save(IMAGES[:1])

    def fill_up(file, content):
        write(file, content[:600])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tar_shards, "_write", fill_up)
    with pytest.raises(OSError, match="No space left"):
        store.save(IMAGES[1:])
    monkeypatch.setattr(tar_shards, "_write", write)
    store.close()
    assert content_of(tmp_path) == expected(IMAGES[:1])


@pytest.mark.parametrize(
    ("names", "found"), [([], False), (["images-00000.tar"], False), (["images-1.tar.part"], False)]
)
def test_some_other_tar_file_is_no_shard(names, found, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert has_shards(tmp_path) == found


def test_a_store_that_got_nothing_leaves_nothing(tmp_path):
    TarStore(tmp_path, 1).close()
    assert list(tmp_path.iterdir()) == []
