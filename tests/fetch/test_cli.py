"""The command `rope fetch`: what it prints, and how it ends."""

import re
import sys
from pathlib import Path

import pytest

from rope.fetch.outcome import REASONS
from tests.fetch.conftest import release_of

PAGE = Path(__file__).parents[2] / "docs" / "fetch.md"


def test_a_fetch_says_what_came_what_is_there_and_what_failed(rope, serve, tmp_path):
    fates = {"a.jpg": "404", "b.jpg": "to_other_host"}
    server = serve(behave=lambda name: fates.get(name, "good"))
    release, to = release_of(["a.jpg", "b.jpg"], tmp_path / "release"), tmp_path / "to"
    code, out, err = rope("fetch", release, "--prefix", server.prefix, "--to", to, "--allow-private", "--tries", 1)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{to}: fetched 1 now, 0.0 MB"
    assert lines[1] == f"{to}: 1 of 3 images are there, 0 are missing, 2 were given up:"
    assert lines[2].startswith("    1 x http_status 404: ")
    assert lines[3].startswith("    1 x redirect_refused: ")
    assert rope("fetch", release, "--to", to, "--status") == (0, "\n".join(lines[1:]) + "\n", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prefix", "http://127.0.0.1:1/"], "say --allow-private"),
        (["--prefix", "http://x.example/", "--rate", "0"], "requests_per_s is 0.0; expected a number above 0"),
        (["--prefix", "http://x.example/", "--max-bytes", "much"], "--max-bytes 'much': expected a number of bytes"),
        (["--status"], "nothing was fetched here"),
        ([], "say with --prefix what addresses begin with"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(options, sentence, rope, tmp_path):
    release = release_of(["a.jpg"], tmp_path / "release")
    code, _, err = rope("fetch", release, "--to", tmp_path / "to", *options)
    assert code == 2
    assert sentence in err


def test_without_aiohttp_the_extra_is_named(rope, tmp_path, monkeypatch):
    for module in ("rope.fetch.transfer", "rope.fetch.addresses"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    release = release_of(["a.jpg"], tmp_path / "release")
    code, _, err = rope("fetch", release, "--to", tmp_path / "to", "--prefix", "http://x.example/")
    assert (code, "pip install 'rope-bench[fetch]'" in err) == (2, True)


def test_the_page_names_every_reason_of_the_ledger_and_no_other():
    assert re.findall(r"^\| `([a-z_]+)` \|.*\|.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)[1:] == list(REASONS)
