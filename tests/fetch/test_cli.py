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
    code, out, err = rope("fetch", release, "--prefix", server.prefix, "--out", to, "--allow-private", "--tries", 1)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{to}: fetched 1 now, 0.0 MB"
    assert lines[1] == f"{to}: 1 of 3 images are there, 0 are missing, 2 were given up:"
    assert lines[2].startswith("    1 x http_status 404: ")
    assert lines[3].startswith("    1 x redirect_refused: ")
    assert rope("fetch", release, "--out", to, "--status") == (0, "\n".join(lines[1:]) + "\n", "")


def test_where_nothing_came_the_exit_code_is_1_and_the_way_on_is_named(rope, serve, tmp_path):
    mood = {"kind": "404"}
    server = serve(behave=lambda name: mood["kind"])
    release, to = release_of(["a.jpg"], tmp_path / "release"), tmp_path / "to"
    command = ["fetch", release, "--prefix", server.prefix, "--out", to, "--allow-private", "--tries", 1]
    code, out, _ = rope(*command)
    assert (code, out.splitlines()[-1]) == (
        1,
        f"{to / 'failed.jsonl'} names those given up; --retry-failed asks for them again",
    )
    assert rope(*command)[0] == 1  # given up before, and nothing is there
    assert rope("fetch", release, "--out", to, "--status")[0] == 0  # a question that was answered
    mood["kind"] = "good"
    assert rope(*command, "--retry-failed")[0] == 0
    (to / "good.jpg").unlink()
    (to / "failed.jsonl").unlink()
    mood["kind"] = "404"
    assert rope(*command)[0] == 1  # one is there, but nothing came of what was asked for
    assert rope(*command)[0] == 0  # nothing was asked for


def test_headers_and_cookies_come_from_options(rope, serve, tmp_path):
    server = serve()
    (tmp_path / "cookies").write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\ts\t1\n")
    release = release_of(["a.jpg"], tmp_path / "release")
    command = ["fetch", release, "--prefix", server.prefix, "--out", tmp_path / "to", "--allow-private"]
    assert rope(*command, "--header", "X-A: 1", "--header", "X-B: 2", "--cookies", tmp_path / "cookies")[0] == 0
    assert all("X-A: 1\r\nX-B: 2\r\nCookie: s=1\r\n" in head for _, head in server.heads)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prefix", "http://127.0.0.1:1/"], "say --allow-private"),
        (
            ["--prefix", "http://x.example/", "--per-second", "0"],
            "requests_per_s is 0.0; expected a finite number, above 0",
        ),
        (["--prefix", "http://x.example/", "--max-bytes", "much"], "--max-bytes 'much': expected a number of bytes"),
        (["--prefix", "http://x.example/images"], "ends in a word, so the image 1.jpg would be requested at http://x"),
        (
            ["--prefix", "http://x.example/", "--header", "secret"],
            "a header is not as expected",
        ),
        (["--status"], "nothing was fetched here"),
        ([], "say with --prefix what addresses begin with"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(options, sentence, rope, tmp_path):
    release = release_of(["a.jpg"], tmp_path / "release")
    code, _, err = rope("fetch", release, "--out", tmp_path / "to", *options)
    assert code == 2
    assert sentence in err


def test_without_aiohttp_the_extra_is_named(rope, tmp_path, monkeypatch):
    for module in ("rope.fetch.transfer", "rope.fetch.addresses"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    release = release_of(["a.jpg"], tmp_path / "release")
    code, _, err = rope("fetch", release, "--out", tmp_path / "to", "--prefix", "http://x.example/")
    assert (code, "pip install 'rope-bench[fetch]'" in err) == (2, True)


def test_the_page_names_every_reason_of_the_ledger_and_no_other():
    assert re.findall(r"^\| `([a-z_]+)` \|.*\|.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)[1:] == list(REASONS)
