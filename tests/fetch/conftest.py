"""Releases that list the images of the test server, and limits that make a test short."""

import json
import sys
from pathlib import Path

import pytest

from rope.cli import main
from rope.fetch.access import COOKIES_VARIABLE, HEADERS_VARIABLE
from rope.fetch.limits import FetchLimits
from rope.fetch.outcome import LostImage
from tests.fetch.server import ServerThread
from tests.releases import Lines, tiny_release

PATIENCE = {
    "seed": 0,
    "connections": 32,
    "tries": 3,
    "backoff_s": 0.02,
    "idle_s": 0.5,
    "grace_s": 0.3,
    "max_bytes": 200_000,
    "private_hosts": frozenset({"127.0.0.1"}),
}


def limits(**changes) -> FetchLimits:
    return FetchLimits(**(PATIENCE | changes))


def release_of(names: list[str], folder: Path) -> Path:
    """A release with a page for each image name; videos and lives have an image that is always good."""
    lines: Lines = tiny_release()
    for name in list(lines):
        if name.endswith(("video_frames.txt", "live_clips.txt")):
            lines[name] = [f"{line.split(',')[0]}, 0, good.jpg" for line in lines[name][::3]]
        elif name.endswith("page_images.txt"):
            lines[name] = [f"{line.split(',')[0]}, good.jpg" for line in lines[name]]
    for i, name in enumerate(names):
        lines["training_product_pages_pair.txt"].append(f"a{1 + i % 2}, {i}")
        lines["training_page_titles.txt"].append(f"{i}, title")
        lines["training_page_images.txt"].append(f"{i}, {name}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", "utf-8")
    return folder


def ledger_of(folder: Path) -> list[LostImage]:
    path = folder / "failed.jsonl"
    return [LostImage(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Whatever proxy or access the machine has, a test has none."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in (HEADERS_VARIABLE, COOKIES_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve():
    """Starts servers that end with the test."""
    running = []

    def start(**settings):
        thread = ServerThread(**settings)
        running.append(thread)
        return thread.__enter__()

    yield start
    for thread in running:
        thread.__exit__()


@pytest.fixture
def rope(monkeypatch, capsys):
    """Runs a command; returns its exit code and what it wrote to stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rope", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
