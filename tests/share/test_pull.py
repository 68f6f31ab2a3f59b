"""What a pull fetches, checks, refuses and resumes; and that `datasets` reads the repository without us."""

import json

import pytest

from rope.dataset.locate import locate
from rope.errors import DatasetError, RopeError, UsageError
from rope.share.pull import pull_dataset
from rope.share.push import push_dataset
from tests.share.conftest import files_of
from tests.share.hub import commit_id

# The Hub's library uploads to LFS by an argument that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "lab/mini"
SHARD = "pages/train-00000-of-00002.parquet"


@pytest.fixture
def pushed(small, hub, api):
    """The tree of a repository that holds the small dataset."""
    push_dataset(small, REPO, api=api)
    hub.requests.clear()
    return hub.repos[REPO].tree


def flipped(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def test_a_pull_gives_the_directory_that_was_pushed(small, pushed, api, tmp_path):
    report = pull_dataset(REPO, tmp_path / "out", api=api)
    assert report.is_new
    assert report.manifest.name == "small"
    assert files_of(tmp_path / "out") == files_of(small)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_second_pull_fetches_nothing(pushed, hub, api, tmp_path):
    pull_dataset(REPO, tmp_path / "out", api=api)
    hub.requests.clear()
    assert not pull_dataset(REPO, tmp_path / "out", api=api).is_new
    assert hub.count("GET", ".parquet") == 0


def test_a_revision_is_what_the_repository_was_then(pushed, hub, api, tmp_path):
    then = commit_id(REPO, len(hub.repos[REPO].commits) - 1)
    hub.repos[REPO].commits.append({})
    assert pull_dataset(REPO, tmp_path / "out", api=api, revision=then).commit == then
    with pytest.raises(DatasetError, match=r"lab/mini: has no rope\.json at .* or its push did not finish"):
        pull_dataset(REPO, tmp_path / "new", api=api)


def test_a_shard_that_is_damaged_on_the_server_is_named_and_fetched_again(small, pushed, hub, api, tmp_path):
    out = tmp_path / "out"
    whole, pushed[SHARD] = pushed[SHARD], flipped(pushed[SHARD])
    with pytest.raises(DatasetError, match=rf"{SHARD} has SHA-256 .* the copy in lab/mini is damaged"):
        pull_dataset(REPO, out, api=api)
    assert not (out / "rope.json").exists()
    pushed[SHARD] = whole
    hub.requests.clear()
    assert pull_dataset(REPO, out, api=api).is_new
    assert [path.split("/")[-1] for method, path in hub.requests if method == "GET" and ".parquet" in path] == [
        SHARD.split("/")[1]
    ]
    assert files_of(out) == files_of(small)


def test_a_pull_repairs_what_was_damaged_since(small, pushed, hub, api, tmp_path):
    out = tmp_path / "out"
    pull_dataset(REPO, out, api=api)
    (out / SHARD).write_bytes(flipped((out / SHARD).read_bytes()))
    hub.fault = lambda method, path: 403 if method == "GET" and SHARD in path else None
    with pytest.raises(RopeError, match="403"):
        pull_dataset(REPO, out, api=api)
    assert not (out / "rope.json").exists()
    hub.fault = lambda method, path: None
    assert pull_dataset(REPO, out, api=api).is_new
    assert files_of(out) == files_of(small)


def test_shards_that_the_manifest_does_not_name_are_left_out(pushed, small, api, tmp_path):
    pushed["pages/train-00009-of-00010.parquet"] = b"stale"
    pull_dataset(REPO, tmp_path / "out", api=api)
    assert files_of(tmp_path / "out") == files_of(small)


def test_a_killed_pull_is_seen_to_be_unfinished_and_resumed(small, pushed, hub, api, kill_at, tmp_path):
    out = tmp_path / "out"
    kill_at("GET", ".parquet", 6, "pull", REPO, out)
    assert not (out / "rope.json").exists()
    done = {path for path in files_of(out) if path.endswith(".parquet")}
    hub.requests.clear()
    pull_dataset(REPO, out, api=api)
    fetched = {"/".join(path.split("/")[-2:]) for method, path in hub.requests if method == "GET"}
    assert done.isdisjoint(fetched)
    assert files_of(out) == files_of(small)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", "mine", "holds notes.txt, and not an unfinished pull"),
        (
            ".pull.json",
            '{"repo": "lab/other"}',
            "an unfinished pull of something else: repo is 'lab/other' there",
        ),
        ("rope.json", "{}", "another dataset is there already"),
    ],
)
def test_a_folder_in_use_is_left_alone(name, content, message, pushed, hub, api, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        pull_dataset(REPO, tmp_path / "out", api=api)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert hub.count("GET", ".parquet") == 0


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "pages/../../train.parquet", "pages/a.parquet"])
def test_a_manifest_names_no_file_outside(name, pushed, api, tmp_path):
    manifest = json.loads(pushed["rope.json"])
    manifest["shards"][name] = {"rows": 1, "bytes": 1, "sha256": "0" * 64}
    pushed["rope.json"] = json.dumps(manifest).encode()
    with pytest.raises(DatasetError, match="is not a shard name; nothing was fetched"):
        pull_dataset(REPO, tmp_path / "out", api=api)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("status", [429, 503])
def test_a_pull_waits_for_the_hub_and_goes_on(status, small, pushed, hub, api, tmp_path, waited):
    refused = []

    def refuse_some(method, path):
        if "/api/datasets/lab/mini" not in path or len(refused) == 3:
            return None
        refused.append(path)
        return status

    hub.fault = refuse_some
    pull_dataset(REPO, tmp_path / "out", api=api, progress=False)
    assert waited
    assert files_of(tmp_path / "out") == files_of(small)


def test_a_manifest_of_another_version_is_refused_by_the_name_of_the_repository(pushed, api, tmp_path):
    pushed["rope.json"] = json.dumps(json.loads(pushed["rope.json"]) | {"format_version": 9}).encode()
    with pytest.raises(DatasetError, match=r"^lab/mini/rope\.json: format version 9"):
        pull_dataset(REPO, tmp_path / "out", api=api)


def test_the_commands_push_pull_and_remember(small, hub, rope, tmp_path, monkeypatch):
    code, said, err = rope("push", small, "--repo", REPO)
    assert (code, said, err) == (
        0,
        f"{hub.url}/datasets/{REPO}: private; 12 files sent, 0 there already, 0 of before deleted\n",
        "",
    )
    code, said, err = rope("pull", REPO, tmp_path / "out")
    assert (code, err) == (0, "")
    assert said.startswith(f"{tmp_path / 'out'}: pulled, commit ")
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROPE_DATA", raising=False)
    assert locate(None) == tmp_path / "out"


def test_datasets_reads_every_configuration_from_the_hub_without_us(pushed, start):
    program = """
import os
import sys
from datasets import load_dataset
for config in ("pages", "videos", "lives", "products", "aligned"):
    rows = load_dataset("lab/mini", config)
    print(config, *(f"{split} {len(rows[split])}" for split in rows))
print(load_dataset("lab/mini", "pages", split="train")[0]["frames"][0].size)
print(next(iter(load_dataset("lab/mini", "videos", split="validation", streaming=True)))["sample_id"])
print("rope" in sys.modules)
sys.stdout.flush()
os._exit(0)  # a stream left unread may abort the interpreter's shutdown (apache/arrow#45214)
"""
    process = start(program)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.splitlines() == [
        "pages train 3 validation 2",
        "videos train 2 validation 2",
        "lives train 2 validation 2",
        "products train 2 validation 2",
        "aligned train 2 validation 2",
        "(12, 12)",
        "31",
        "False",
    ]
