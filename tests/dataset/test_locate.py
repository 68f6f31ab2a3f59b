"""Where a dataset is looked for, in order, and what is said when there is none."""

import shutil
from pathlib import Path

import pytest

from rope.dataset.locate import CHOICE_NAME, Located, cache_folder, choose, find, locate, remember
from rope.errors import DatasetError, UsageError


@pytest.fixture(autouse=True)
def no_state(tmp_path, monkeypatch):
    monkeypatch.delenv("ROPE_DATA", raising=False)
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))


def test_a_named_directory_goes_before_the_environment_and_that_before_the_last_built(small, tmp_path, monkeypatch):
    for name in ("named", "environment", "last"):
        shutil.copytree(small, tmp_path / name)
    remember(tmp_path / "last")
    assert locate(None) == tmp_path / "last"
    monkeypatch.setenv("ROPE_DATA", str(tmp_path / "environment"))
    assert locate(None) == tmp_path / "environment"
    assert locate(str(tmp_path / "named")) == tmp_path / "named"


def test_the_choice_of_a_folder_goes_before_the_last_built_and_holds_below_it(small, tmp_path, monkeypatch, caplog):
    for name in ("project/data", "last", "environment"):
        shutil.copytree(small, tmp_path / name)
    (tmp_path / "project" / "deep").mkdir()
    remember(tmp_path / "last")
    monkeypatch.chdir(tmp_path / "project")
    choose("data", Path.cwd())
    monkeypatch.chdir(tmp_path / "project" / "deep")
    assert find(None) == Located(tmp_path / "project" / "data", f"rope use, in {tmp_path / 'project' / CHOICE_NAME}")
    monkeypatch.setenv("ROPE_DATA", str(tmp_path / "environment"))
    assert find(None) == Located(tmp_path / "environment", "ROPE_DATA")
    assert find(tmp_path / "last").reason is None
    assert caplog.text == ""


def test_a_dataset_that_nobody_named_is_logged(small, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    remember(small)
    locate(None)
    assert f"reading {small}, the dataset that was built last on this machine" in caplog.text


def test_a_choice_that_is_gone_names_the_file_that_made_it(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choose(str(small), tmp_path)
    shutil.rmtree(small)
    with pytest.raises(UsageError, match=r"\.rope-data says .*small: no such directory"):
        locate(None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected one line"),
        (b"a\nb\n", "expected one line"),
        (b"\0", "expected one line"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_a_choice_that_says_nothing_is_named(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CHOICE_NAME).write_bytes(content)
    with pytest.raises(UsageError, match=rf"\.rope-data: .*{message}.*write it again with: rope use DIR"):
        locate(None)


def test_a_choice_that_is_a_folder_or_leads_nowhere_is_not_passed_over(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remember(small)
    (tmp_path / CHOICE_NAME).mkdir()
    for use in (lambda: locate(None), lambda: choose(str(small), tmp_path)):
        with pytest.raises(UsageError, match=r"\.rope-data: is a folder; expected the file that rope use writes"):
            use()
    (tmp_path / CHOICE_NAME).rmdir()
    (tmp_path / CHOICE_NAME).symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"\.rope-data: not readable .*; write it again with: rope use DIR"):
        locate(None)
    choose(str(small), tmp_path)
    assert locate(None) == small


def test_a_relative_directory_is_remembered_as_absolute(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remember(Path("small"))
    monkeypatch.chdir("/")
    assert locate(None) == small


def test_without_data_the_error_names_the_licence_the_build_and_the_synthetic_set():
    with pytest.raises(DatasetError, match=r"adxcreative/COPE.*rope build RELEASE OUT.*rope synthesize"):
        locate(None)


def test_the_last_built_is_gone(small):
    remember(small)
    shutil.rmtree(small)
    with pytest.raises(DatasetError, match="small, does not exist any more"):
        locate(None)


@pytest.mark.parametrize("state", ["", "{", "[]", '{"directory": 3}', '{"other": "x"}'])
def test_a_damaged_state_file_counts_as_none(state):
    cache_folder().mkdir()
    (cache_folder() / "last-built.json").write_text(state)
    with pytest.raises(DatasetError, match="none was built yet"):
        locate(None)


def test_a_directory_that_does_not_exist_is_named_with_its_source(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="nowhere: no such directory"):
        locate("nowhere")
    monkeypatch.setenv("ROPE_DATA", str(tmp_path / "away"))
    with pytest.raises(UsageError, match=r"ROPE_DATA=.*away: no such directory"):
        locate(None)


def test_a_folder_without_manifest_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match="not a finished dataset directory"):
        locate(tmp_path)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, small):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "file" / "cache"))
    remember(small)
    with pytest.raises(DatasetError):
        locate(None)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ROPE_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/rope-bench"),
        ({"HOME": "/home/someone"}, "/home/someone/.cache/rope-bench"),
    ],
)
def test_the_cache_folder_follows_the_environment(variables, expected, monkeypatch):
    monkeypatch.delenv("ROPE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
