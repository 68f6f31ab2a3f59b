"""A Hub of each test's own, and the small dataset to send there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from tests.dataset.conftest import small as small
from tests.share.hub import TOKEN, Hub, running_hub

ROOT = Path(__file__).parents[2]


def files_of(directory):
    """Path -> bytes of every file that is not hidden."""
    paths = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(".")}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running_hub() as started:
        yield started


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """Seconds of each pause that was to be made for the Hub; none is."""
    pauses: list[float] = []
    monkeypatch.setattr("rope.share.patience.sleep", pauses.append)
    return pauses


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=TOKEN)


@pytest.fixture
def start(hub, tmp_path):
    """Starts a program in its own process, with this Hub and caches of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ROPE_", "HF_"))},
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(tmp_path / "hf-home"),
        "ROPE_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
    }

    def start(program: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, "HF_TOKEN": TOKEN, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def rope(start):
    """Runs a command of `rope`; returns its exit code and what it wrote to stdout and stderr."""

    def run(*arguments: object, **variables: str) -> tuple[int, str, str]:
        process = start("from rope.cli import main; main()", *arguments, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return run


@pytest.fixture
def kill_at(start, hub):
    """Runs a command of `rope` and kills it at the n-th request of a kind."""

    def run(method: str, part: str, n: int, *arguments: object) -> None:
        n_open = hub.n_open
        process = start("from rope.cli import main; main()", *arguments)

        def fault(did: str, path: str) -> int | None:
            if did == method and part in path and hub.count(method, part) >= n:
                process.kill()
                return 0
            return None

        hub.fault = fault
        process.communicate(timeout=60)
        assert process.returncode == -9
        hub.settle(n_open)
        hub.fault = lambda did, path: None

    return run
