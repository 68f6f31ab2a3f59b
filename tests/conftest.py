"""Settings of all tests, and a dataset that tests of several packages look at."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from rope.dataset.build import build_dataset
from rope.synthetic.release import write_release
from tests.skipped import table
from tests.stores import store_of_s3

# The same cases in every run, and no time limit on a case: the first one compiles.
settings.register_profile("rope", deadline=None, derandomize=True)
settings.load_profile("rope")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End every run with what it left out."""
    stats = terminalreporter.stats
    terminalreporter.section("what was skipped, and why")
    for line in table(stats.get("skipped", []), len(stats.get("deselected", []))):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees which dataset was built last on this machine, or changes it; nor do processes that tests start."""
    os.environ["ROPE_CACHE"] = str(tmp_path_factory.mktemp("state"))
    os.environ.pop("ROPE_DATA", None)


@pytest.fixture(scope="session")
def four_domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of ten drawn products with pages, videos, live clips and reviews; read-only."""
    folder = tmp_path_factory.mktemp("four")
    domains = ("page", "video", "live", "review")
    write_release(
        folder / "release",
        products=10,
        seed=5,
        domains=domains,
        validation_share=0.5,
        mp4=False,
        workers=1,
        progress=False,
    )
    build_dataset(folder / "release", folder / "data", progress=False)
    return folder / "data"


@pytest.fixture
def bucket():
    """The address of a bucket in a store of this process that speaks as S3 does; child processes find it too."""
    with store_of_s3() as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window; it is not there on every machine.

    While it is there an event loop runs, so that tests of asyncio have to be in other modules.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
