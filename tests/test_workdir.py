"""One rule for the output folders of all commands that can be repeated: only what is the command's own is touched."""

import json
from contextlib import suppress

import pytest

from rope.errors import UsageError
from rope.workdir import WorkFolder, differences, json_differences


def folder(path, key=None, **options):
    text = json.dumps(key or {"size": 1})
    return WorkFolder(
        path, options.pop("note", ".build/key.json"), text, "an unfinished build", json_differences(text), **options
    )


def content(path):
    return {found.relative_to(path).as_posix(): found.read_bytes() for found in path.rglob("*") if found.is_file()}


def write(path, **files):
    for name, text in files.items():
        target = path / name.replace("__", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.mark.parametrize("note", [".build/key.json", "recipe.yaml"])
@pytest.mark.parametrize("before", ["nothing", "an empty folder", "half a note", "a spare file"])
def test_a_free_folder_is_begun_in_and_then_gone_on_with(note, before, tmp_path):
    out, name = tmp_path / "out", note.rpartition("/")[2]
    if before != "nothing":
        (out / note).parent.mkdir(parents=True)
    if before == "half a note":
        (out / note).with_name(f".{name}.77.part").write_text("{")
    if before == "a spare file":
        (out / "faults.tsv").write_text("a")
    work = folder(out, note=note, spare=frozenset({"faults.tsv"}))
    for is_begun in (False, True):
        with work.claimed() as found:
            (out / "made").write_text("1")
        assert (found, (out / note).read_text()) == (is_begun, work.text)


def test_a_note_of_something_else_is_refused_with_what_differs(tmp_path):
    with folder(tmp_path, {"size": 1, "of": {"name": "a", "files": list(range(99))}}).claimed():
        write(tmp_path, made="1")
    before = content(tmp_path)
    with pytest.raises(
        UsageError, match="holds an unfinished build of something else: size is 1 there and 2 now"
    ) as raised:
        folder(tmp_path, {"size": 2, "of": {"name": "a", "files": []}}).is_begun()
    assert "of.files is [0, 1, 2" in str(raised.value)
    assert str(raised.value).endswith("; repeat the command as it was started, or choose another folder")
    assert raised.value.exit_code == 2
    assert content(tmp_path) == before
    (tmp_path / ".build" / "key.json").write_text("{")
    with pytest.raises(UsageError, match="its note cannot be read"):
        folder(tmp_path).is_begun()


@pytest.mark.parametrize(
    "name", ["thesis.tex", ".git/config", ".build/staged.duckdb", ".build/notes/x", ".key.json.part"]
)
def test_other_files_are_refused_and_left_alone(name, tmp_path):
    write(tmp_path, **{name.replace("/", "__"): "mine"})
    with pytest.raises(UsageError, match=r"holds .*, and not an unfinished build; choose a folder that"):
        folder(tmp_path, written=lambda: [tmp_path / name]).is_begun(overwrite=True)
    assert content(tmp_path) == {name: b"mine"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="out: is a file; expected a folder"):
        folder(tmp_path / "out").is_begun()


def test_overwriting_removes_what_the_command_wrote_and_nothing_else(tmp_path):
    with folder(tmp_path).claimed():
        write(
            tmp_path, pages__a="1", pages__deep__b="1", pages__mine="2", lives__c="1", mine="2", **{".build__x__y": "1"}
        )
    names = ("pages/a", "pages/deep/b", "lives/c", "lives/gone")
    new = folder(tmp_path, {"size": 2}, written=lambda: [tmp_path / name for name in names])
    with pytest.raises(UsageError, match="start over with --overwrite, or choose another folder"):
        new.is_begun()
    with new.claimed(overwrite=True) as is_begun:
        assert not is_begun
    assert content(tmp_path) == {"pages/mine": b"2", "mine": b"2", ".build/key.json": new.text.encode()}
    assert not (tmp_path / "lives").exists()
    with new.claimed(overwrite=True) as is_begun:
        assert is_begun, "what was begun of the same is gone on with"


@pytest.mark.parametrize("note", [".build/key.json", "recipe.yaml"])
@pytest.mark.parametrize(("existed", "made"), [(False, ""), (True, ""), (False, "made"), (True, ".build/made")])
def test_a_command_that_fails_before_it_has_made_anything_leaves_no_trace(note, existed, made, tmp_path):
    out = tmp_path / "out"
    if existed:
        write(out, **{"faults.tsv": "a"})
    work = folder(out, note=note, spare=frozenset({"faults.tsv"}))
    with suppress(KeyboardInterrupt), work.claimed():
        if made:
            write(out, **{made.replace("/", "__"): "1"})
        raise KeyboardInterrupt
    assert (out / note).exists() is bool(made)
    assert out.exists() is (existed or bool(made))
    assert not made or folder(out, note=note, spare=frozenset({"faults.tsv"})).is_begun()


def test_a_command_that_has_taken_its_note_back_itself_fails_with_its_own_error(tmp_path):
    work = folder(tmp_path / "out", spare=frozenset({"faults.tsv"}))
    with suppress(KeyError), work.claimed():
        write(work.path, **{"faults.tsv": "a"})
        work.finish()
        raise KeyError
    assert content(tmp_path) == {"out/faults.tsv": b"a"}


def test_what_goes_on_or_is_shared_keeps_its_note(tmp_path):
    for options in ({"is_shared": True}, {}):
        with pytest.raises(KeyboardInterrupt), folder(tmp_path / "out").claimed(**options):
            raise KeyboardInterrupt
        assert folder(tmp_path / "out").is_begun()


def test_few_differences_are_told():
    assert differences({"a": 1}, {"a": 1}) == ""
    assert differences(dict.fromkeys("abcde", 1), dict.fromkeys("abcde", 2)).endswith(
        "c is 1 there and 2 now and 2 more"
    )
    assert differences({"a": None}, {}) == "a is None there and missing now"
    assert differences({"a": True}, {"a": 1.5}) == "a is True there and 1.5 now"


# -- every command ----------------------------------------------------------------------------------------------------


def build(data, out):
    from rope.dataset.build import build_dataset

    build_dataset(data.parent / "release", out, progress=False)


def export(data, out):
    from rope.share.webdataset import export_webdataset

    export_webdataset(data, out, progress=False)


def rewrite(data, out):
    from rope.asr.rewrite import write_with_texts

    write_with_texts(data, out, frozenset(), lambda _, rows: [], {"asr_of": "x"}, "", progress=False)


def pull(_, out):
    from rope.share.pull import _work

    _work(out, "lab/small").is_begun()


def fetch_open(_, out):
    from rope.fetch.limits import FetchLimits
    from rope.fetch.open_sets import prepare

    prepare("grocery", out, limits=FetchLimits(seed=0))


def run(data, out):
    from baselines.handcrafted import Handcrafted
    from rope.bench.running.run import run_embedder

    run_embedder(Handcrafted(), data, out.with_name(out.name.removesuffix(".parts")), progress=False)


def train_cope(_, out):
    pytest.importorskip("accelerate")
    from cope.ranks import ALONE
    from cope.recipe import TrainingRecipe
    from cope.train import _claimed

    with _claimed(out, TrainingRecipe(), ALONE, lambda: None):
        raise InterruptedError


def train_learn(_, out):
    accelerate = pytest.importorskip("accelerate")
    from baselines.learn.config import LearnRecipe
    from baselines.learn.train import _claimed

    with _claimed(out, LearnRecipe(seed=0), accelerate.Accelerator()):
        raise InterruptedError


COMMANDS = {
    build: (".build/key.json", '{"options": {"version": 1}}'),
    export: (".export/key.json", '{"version": 1}'),
    rewrite: (".rewrite/key.json", '{"asr_of": "y"}'),
    pull: (".pull.json", '{"repo": "lab/other"}'),
    fetch_open: (".fetch/open.txt", "abo\n"),
    run: ("key.json", '{"embedder": "other", "embedder_fingerprint": "x"}'),
    train_cope: ("recipe.yaml", "epochs: 3"),
    train_learn: ("recipe.json", '{"seed": 1}'),
}
"""Command -> its note, and what an earlier version noted of something else."""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_follows_the_rule(command, four_domains, tmp_path):
    note, other = COMMANDS[command]
    out = tmp_path / "out.parts"
    (out / note).parent.mkdir(parents=True)
    (out / note).write_text(other)
    (out / "mine.txt").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(UsageError, match=r"out.parts: holds an? .* of something else: .* there and .* now") as raised:
        command(four_domains, out)
    assert (content(tmp_path), raised.value.exit_code) == (before, 2)
    (out / note).unlink()
    with pytest.raises(UsageError, match=r"out.parts: holds mine\.txt, and not a"):
        command(four_domains, out)
    assert content(tmp_path) == {"out.parts/mine.txt": b"mine"}


@pytest.mark.parametrize("command", [train_cope, train_learn], ids=lambda command: command.__name__)
def test_a_training_run_that_fails_at_once_leaves_no_trace(command, tmp_path):
    with pytest.raises(InterruptedError):
        command(None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
