"""What a push sends, refuses and resumes."""

import os

import pytest
from datasets import load_dataset

from rope.dataset import layout
from rope.dataset.build import build_dataset
from rope.dataset.directory import read_labels
from rope.dataset.validate import validate
from rope.errors import DatasetError, RopeError, UsageError
from rope.files import sha256_of
from rope.share import hashes, push
from rope.share.croissant import write_croissant
from rope.share.pull import pull_dataset
from rope.share.push import Commit, plan_push, push_dataset
from tests.dataset.conftest import small_tables, write_tables
from tests.releases import tiny_release, write_release
from tests.share.conftest import files_of
from tests.share.hub import _Handler as Handler

# The Hub's library uploads to LFS by an argument that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "lab/mini"
SHARD = "pages/train-0000{}-of-00002.parquet"


@pytest.fixture
def release(tmp_path):
    return write_release(tmp_path / "release", tiny_release())


def test_a_new_repository_is_private_and_holds_the_dataset_alone(small, hub, api):
    (small / "notes.txt").write_text("mine")
    (small / ".build").mkdir()
    (small / ".build" / "staged.duckdb").write_text("")
    report = push_dataset(small, REPO, api=api)
    sent = files_of(small)
    del sent["notes.txt"]
    assert hub.repos[REPO].private
    assert (report.private, report.n_sent, report.n_kept, report.n_deleted) == (True, len(sent), 0, 0)
    assert hub.repos[REPO].tree == {**sent, ".gitattributes": hub.repos[REPO].commits[0][".gitattributes"]}
    assert "croissant.json" in sent


def test_the_manifest_comes_with_the_last_commit(small, hub, api):
    push_dataset(small, REPO, api=api)
    assert ["rope.json" in tree for tree in hub.repos[REPO].commits] == [False, False, True]


def test_a_push_of_what_is_there_asks_and_sends_nothing(small, hub, api):
    push_dataset(small, REPO, api=api)
    hub.requests.clear()
    report = push_dataset(small, REPO, api=api)
    assert (report.n_sent, report.n_kept) == (0, 12)
    assert [method for method, _ in hub.requests] == ["GET", "GET"]


def test_another_dataset_takes_the_place_of_the_first(small, hub, api, tmp_path):
    push_dataset(small, REPO, api=api)
    hub.repos[REPO].tree["LICENSE"] = b"ours"
    tables = small_tables()
    tables["videos/train"][0]["text"] = "changed"
    other = write_tables(tmp_path / "other", tables, rows_per_shard=9)
    report = push_dataset(other, REPO, api=api)
    assert report.n_deleted == 2  # the two shards of pages/train; the others keep their names
    tree = hub.repos[REPO].tree
    assert {path: tree[path] for path in tree if path not in ("LICENSE", ".gitattributes")} == files_of(other)
    assert tree["LICENSE"] == b"ours"
    assert ["rope.json" in commit for commit in hub.repos[REPO].commits[-3:]] == [True, False, True]


def test_a_killed_push_is_seen_to_be_unfinished_and_resumed(small, hub, api, kill_at):
    kill_at("PUT", "/lfs/", 4, "push", small, "--repo", REPO)
    assert "rope.json" not in hub.repos[REPO].tree
    n_stored = len(hub.stored)
    assert 0 < n_stored < 9
    hub.requests.clear()
    push_dataset(small, REPO, api=api)
    assert hub.count("PUT", "/lfs/") == 9 - n_stored
    assert files_of(small).items() <= hub.repos[REPO].tree.items()


@pytest.mark.parametrize(
    ("status", "headers", "pauses", "words"),
    [
        (429, {"Retry_After": "1800"}, [1800] * 3, "the Hub's quota is used up (429); going on in 1,800 s"),
        (429, {"RateLimit": '"commit";r=0;t=55'}, [56] * 3, "quota is used up (429); going on in 56 s"),
        (429, {}, [60, 120, 240], "quota is used up (429); going on in 60 s"),
        (503, {}, [1, 2, 4], "the Hub is in trouble (503); going on in 1 s"),
        (0, {}, [1, 2, 4], "the Hub is in trouble (RemoteProtocolError); going on in 1 s"),
    ],
)
def test_a_push_waits_for_the_hub_and_goes_on(status, headers, pauses, words, small, hub, api, waited, capsys):
    hub.headers = headers
    hub.fault = lambda method, path: (
        status if "/commit/" in path and hub.count("POST", "/commit/") in (2, 3, 4) else None
    )
    report = push_dataset(small, REPO, api=api)
    assert waited == pauses
    assert words in capsys.readouterr().err
    assert (report.n_sent, report.n_kept) == (12, 0)
    assert files_of(small).items() <= hub.repos[REPO].tree.items()
    assert ["rope.json" in tree for tree in hub.repos[REPO].commits] == [False, False, True]


def test_patience_with_a_quota_ends_where_nothing_comes_of_it(small, hub, api, waited):
    hub.headers = {"Retry_After": "3000"}
    hub.fault = lambda method, path: 429 if "/commit/" in path else None
    with pytest.raises(RopeError, match=r"busy or out of order \(429\); run the command again later"):
        push_dataset(small, REPO, api=api)
    assert waited == [3000] * 3


def test_a_commit_that_was_made_but_not_answered_is_not_made_again(small, hub, api, monkeypatch):
    commit = Handler.commit

    def lose_the_first_answer(handler, name, repo):
        if len(repo.commits) == 1:
            handler.answer = lambda *_, **__: None
            commit(handler, name, repo)
            del handler.answer
            return handler.refuse(504)
        return commit(handler, name, repo)

    monkeypatch.setattr(Handler, "commit", lose_the_first_answer)
    report = push_dataset(small, REPO, api=api)
    assert len(hub.repos[REPO].commits) == 3
    assert files_of(small).items() <= hub.repos[REPO].tree.items()
    assert report.n_sent + report.n_kept == 12


def test_a_push_that_starts_again_reads_no_shard_again_but_one_that_changed(small, hub, api, monkeypatch):
    monkeypatch.setattr(hashes, "_SETTLED_NS", 0)
    read = []
    monkeypatch.setattr(hashes, "sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    hub.fault = lambda method, path: 418 if "/commit/" in path else None
    for n_read in (9, 9):
        with pytest.raises(RopeError, match="418"):
            push_dataset(small, REPO, api=api)
        assert len(read) == n_read
    shard = small / SHARD.format(0)
    content = bytearray(shard.read_bytes())
    content[9] ^= 1
    stat = shard.stat()
    shard.write_bytes(content)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size and time
    with pytest.raises(DatasetError, match=r"nothing was sent, because .*00000.* has SHA-256"):
        push_dataset(small, REPO, api=api)
    content[9] ^= 1
    shard.write_bytes(content)
    hub.fault = lambda method, path: None
    push_dataset(small, REPO, api=api)
    assert set(read[9:]) == {shard.name}
    assert not (small / ".push.jsonl").exists()


def test_shards_are_hashed_once_in_a_push(small, hub, api, monkeypatch):
    """By the check; the Hub's library is told."""
    hashed = []
    monkeypatch.setattr("huggingface_hub.lfs.sha_fileobj", lambda file: hashed.append(file.name))
    push_dataset(small, REPO, api=api)
    assert not [name for name in hashed if name.endswith(".parquet")]


def test_more_shards_than_a_folder_may_have_lie_in_folders_of_their_own(release, hub, api, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "_FOLDER_SHARDS", 2)
    monkeypatch.setattr(push, "_FOLDER_FILES", 2)
    manifest = build_dataset(release, tmp_path / "out", shard_bytes=1, progress=False).manifest
    first = "pages/train-00000/train-00000-of-00002.parquet"
    assert first in manifest.shards
    assert validate(tmp_path / "out") == []
    loaded = load_dataset(str(tmp_path / "out"), "pages", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["sample_id"][:] == read_labels(tmp_path / "out", "train")["page"].sample_ids
    push_dataset(tmp_path / "out", REPO, api=api)
    pull_dataset(REPO, tmp_path / "back", api=api)
    assert files_of(tmp_path / "back") == files_of(tmp_path / "out")


def test_a_folder_with_more_shards_than_the_hub_takes_is_refused_with_a_way_out(small, hub, api, monkeypatch):
    monkeypatch.setattr(push, "_FOLDER_FILES", 2)
    with pytest.raises(UsageError, match="holds 3 shards, and the Hub takes at most 2 files in a folder; build"):
        push_dataset(small, REPO, api=api)
    assert hub.requests == []


def test_whoever_has_the_right_may_publish(small, hub, api):
    report = push_dataset(small, REPO, api=api, public=True, i_have_the_right=True)
    assert (report.private, hub.repos[REPO].private) == (False, False)
    assert push_dataset(small, REPO, api=api, i_have_the_right=True).n_sent == 0


@pytest.mark.parametrize(
    ("there", "options", "error", "message"),
    [
        (None, {"public": True}, UsageError, "lab/mini: everybody would see .* --i-have-the-right, or push without"),
        ({"private": False}, {}, UsageError, "lab/mini is public: everybody would see .* or push to a private one"),
        ({"private": False}, {"public": True}, UsageError, "everybody would see"),
        ({}, {"public": True, "i_have_the_right": True}, UsageError, "is private, and a push does not change that"),
        ({"train.csv": b""}, {}, DatasetError, "lab/mini: holds train.csv and nothing of a dataset of this format"),
    ],
)
def test_a_repository_that_is_public_or_of_something_else_is_refused(there, options, error, message, small, hub, api):
    if there is not None:
        hub.add(REPO, **there)
    with pytest.raises(error, match=message):
        push_dataset(small, REPO, api=api, **options)
    assert not hub.count("POST", "/")


def test_a_repository_that_was_made_public_against_the_wish_gets_nothing(small, hub, api):
    hub.always_public = True
    with pytest.raises(UsageError, match="lab/mini is public"):
        push_dataset(small, REPO, api=api)
    assert [path for method, path in hub.requests if method == "POST"] == ["/api/repos/create"]


def test_damage_is_named_before_anything_is_sent(small, hub, api):
    content = bytearray((small / SHARD.format(0)).read_bytes())
    content[9] ^= 1
    (small / SHARD.format(0)).write_bytes(content)
    (small / SHARD.format(1)).unlink()
    with pytest.raises(DatasetError, match=r"nothing was sent, because .*00000.* has SHA-256 .*; .*00001.* is missing"):
        push_dataset(small, REPO, api=api)
    assert not hub.count("POST", "/")


def test_a_dataset_without_a_card_is_refused(small, api):
    (small / "README.md").unlink()
    with pytest.raises(DatasetError, match=r"has no README\.md"):
        push_dataset(small, REPO, api=api)


def test_paths_of_this_machine_are_not_shared(tmp_path, hub, api):
    directory = write_tables(tmp_path / "paths", small_tables(), media="reference")
    with pytest.raises(UsageError, match="paths of files on this machine, which mean nothing elsewhere"):
        push_dataset(directory, REPO, api=api)
    with pytest.raises(UsageError, match="paths on this machine"):
        write_croissant(directory)
    assert hub.requests == []


@pytest.mark.parametrize("repo", ["mini", "lab/", "a/b/c", "lab/../mini", "lab/mini.git", "-lab/mini", "hf_secret"])
def test_a_repository_has_an_owner_and_a_name(repo, small, api):
    with pytest.raises(UsageError, match="expected ORG/NAME"):
        push_dataset(small, repo, api=api)


A, B = SHARD.format(0), SHARD.format(1)


@pytest.mark.parametrize(
    ("there", "same", "commits"),
    [
        ([], [], [Commit((A, B)), Commit(("README.md", "rope.json"))]),
        ([A, B, "README.md", "rope.json"], [A, B, "README.md", "rope.json"], []),
        ([A], [A], [Commit((B,)), Commit(("README.md", "rope.json"))]),
        ([A, B, "README.md", "rope.json"], [A, B, "rope.json"], [Commit(("README.md",))]),
        (
            [A, "README.md", "rope.json"],
            [A, "README.md", "rope.json"],
            [Commit((B,), ("rope.json",)), Commit(("rope.json",))],
        ),
        (
            [A, B, "lives/train-00000-of-00001.parquet", "lives/x.parquet", "README.md", "rope.json", "faults.tsv"],
            [A, B, "README.md"],
            [Commit(("rope.json",), ("faults.tsv", "lives/train-00000-of-00001.parquet"))],
        ),
    ],
)
def test_a_plan_closes_with_the_manifest_and_opens_without_it(there, same, commits):
    assert plan_push({A: 5, B: 5, "README.md": 1, "rope.json": 1}, there, same) == commits


@pytest.mark.parametrize(
    ("n_files", "size", "adds"),
    [(65, 1, [64, 1]), (3, 2 << 30, [2, 1]), (2, 5 << 30, [1, 1])],
)
def test_a_commit_is_bounded_in_files_and_bytes(n_files, size, adds):
    sizes = {f"pages/train-{i:05d}-of-00100.parquet": size for i in range(n_files)}
    assert [len(commit.add) for commit in plan_push(sizes, [], [])] == adds
