"""The one sentence of a package that is not installed."""

import sys

import pytest
import typer

from rope import extras
from rope.console import run_app
from rope.errors import MissingExtraError
from rope.extras import needed_by, require

ABSENT = ModuleNotFoundError("No module named 'torch'", name="torch")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ABSENT, "it needs torch, which is not installed: pip install 'rope-bench[cope]'"),
        (
            ImportError("cannot import name 'X' from 'transformers' (a/b.py)", name="transformers"),
            "it needs transformers, which does not load here (cannot import name 'X' from 'transformers' (a/b.py)): "
            "pip install 'rope-bench[cope]' may bring one that does",
        ),
        (
            ModuleNotFoundError("No module named 'sentencepiece'", name="sentencepiece"),
            "it needs sentencepiece, which is not installed: pip install sentencepiece",
        ),
    ],
)
def test_an_import_that_fails_is_explained(error, sentence):
    with pytest.raises(MissingExtraError) as caught, needed_by("it", "cope"):
        raise error
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["rope.typo", "cope", None])
def test_a_mistake_of_our_own_is_not_blamed_on_the_installation(name):
    with pytest.raises(ImportError), needed_by("it", "cope"):
        raise ImportError("typo", name=name)


def test_what_is_checked_first_is_told_alike(monkeypatch):
    require("sys", "it")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"it needs faiss, which is not installed: pip install 'rope-bench\[faiss\]', or wait"
    ):
        require("faiss", "it", instead=", or wait")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(ABSENT, 2, "error: program second needs torch, which is not installed: pip install 'rope-bench[torch]'\n")],
)
def test_a_command_ends_with_the_sentence_whoever_imports(error, code, said, monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def first() -> None: ...

    @app.command()
    def second(_word: str) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["/bin/program", "second", "first"])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    assert (ended.value.code, capsys.readouterr().err) == (code, said)
