"""What all command lines have in common."""

import re
import sys
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from typer.main import get_command

import baselines.learn.cli
import cope.cli
import leaderboard.cli
import rope
import rope.bench.cli
import rope.cli
from rope.console import new_app, resumable, run_app
from rope.errors import UsageError
from rope.files import atomic_path

MAINS = {
    "rope": (rope.cli.main, "build"),
    "rope-bench": (rope.bench.cli.main, "score"),
    "cope": (cope.cli.main, "train"),
    "leaderboard": (leaderboard.cli.main, "verify"),
    "baselines.learn": (baselines.learn.cli.main, "train"),
}


def outcome(program, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        MAINS[program][0]()
    return ended.value.code, capsys.readouterr().out


@pytest.mark.parametrize("program", MAINS)
def test_each_says_its_version(program, monkeypatch, capsys):
    assert outcome(program, ["--version"], monkeypatch, capsys) == (0, f"rope-bench {rope.__version__}\n")


@pytest.mark.parametrize("program", MAINS)
def test_h_is_help_of_the_program_and_of_a_command(program, monkeypatch, capsys):
    code, out = outcome(program, ["-h"], monkeypatch, capsys)
    assert (code, "--version" in out, MAINS[program][1] in out) == (0, True, True)
    code, out = outcome(program, [MAINS[program][1], "-h"], monkeypatch, capsys)
    assert (code, "Usage" in out) == (0, True)


RESUMABLE = {
    "rope": {
        "build",
        "fetch",
        "push",
        "pull",
        "export",
        "asr transcribe",
        "asr summarize",
        "curate run",
        "curate publish",
    },
    "rope-bench": {"rerank", "run"},
    "cope": {"train"},
    "leaderboard": set(),
    "baselines.learn": {"train"},
}


def commands(group, before=""):
    """Every command below a group, by its name, which those of its groups come before."""
    for name, command in group.commands.items():
        yield from commands(command, f"{name} ") if hasattr(command, "commands") else [(f"{before}{name}", command)]


@pytest.mark.parametrize("program", MAINS)
def test_a_command_that_says_it_goes_on_is_marked_so_and_no_other(program):
    app = sys.modules[MAINS[program][0].__module__].app
    found = dict(commands(get_command(app)))
    assert {name for name, one in found.items() if getattr(one.callback, "resumable", False)} == RESUMABLE[program]
    promised = {name for name, one in found.items() if "go on" in one.help or "Resumes" in one.help}
    assert promised <= RESUMABLE[program]


@pytest.mark.parametrize(("marked", "told"), [(True, "resumes where it stopped"), (False, "starts over")])
def test_an_interrupt_says_what_the_same_command_does(marked, told, monkeypatch, capsys):
    app = new_app("A program.")

    def work() -> None:
        raise KeyboardInterrupt

    app.command()(resumable(work) if marked else work)
    monkeypatch.setattr(sys, "argv", ["program", "work"])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    assert (ended.value.code, capsys.readouterr().err) == (130, f"error: interrupted; the same command {told}\n")


def choices():
    """Every parameter of every command that takes one of a few words: its name, the words and its help."""
    for program, (main, _) in MAINS.items():
        for name, command in commands(get_command(sys.modules[main.__module__].app)):
            for parameter, hint in get_type_hints(command.callback, include_extras=True).items():
                literals = [one for one in (get_args(hint) or [None])[:1] for one in (one, *get_args(one))]
                words = [word for one in literals if get_origin(one) is Literal for word in get_args(one)]
                if words:
                    yield f"{program} {name} {parameter}", words, hint.__metadata__[0].help or ""


def test_help_explains_every_choice_in_the_order_of_the_choices():
    for option, words, told in choices():
        found = re.findall(r"(?:^|[;:.] )([\w-]+): ", told)
        assert [word for word in found if word in words] == words, (option, words, told)


@pytest.mark.parametrize(
    ("program", "words", "told"),
    [
        ("rope-bench", ["compare", ".", ".."], "expected the JSON that rope-bench score --json writes"),
        ("rope-bench", ["slices", "."], "expected the JSON that rope-bench score --json writes"),
        ("rope", ["curate", "run", "."], "expected a recipe in TOML"),
        ("cope", ["train", "data", "--out", "run", "--recipe", "."], "expected a recipe in YAML"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_told_which_file_is_expected(program, words, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        MAINS[program][0]()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: .: is a folder; {told}\n"


def test_a_folder_is_refused_as_a_file_to_write_before_anything_is_done(tmp_path, monkeypatch, capsys):
    for option in ("--json", "--save-ranks"):
        monkeypatch.setattr(sys, "argv", ["rope-bench", "score", "nowhere.parquet", option, "."])
        with pytest.raises(SystemExit) as ended:
            MAINS["rope-bench"][0]()
        assert (ended.value.code, "is a directory" in capsys.readouterr().err) == (2, True)
    with pytest.raises(UsageError, match="is a folder; expected the name of a file to write"), atomic_path(tmp_path):
        pass
