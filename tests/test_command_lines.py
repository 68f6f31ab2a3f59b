"""What all command lines have in common."""

import sys

import pytest

import baselines.learn.cli
import cope.cli
import leaderboard.cli
import rope
import rope.bench.cli
import rope.cli

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
