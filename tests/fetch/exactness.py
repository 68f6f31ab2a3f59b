"""A fetch that is killed three times, compared with the script of the server; for the tests and for the benchmark."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from rope.fetch.folder_store import stored_files
from rope.fetch.tar_shards import load_places, read_place
from tests.fetch.conftest import PATIENCE, ledger_of, release_of
from tests.fetch.server import SCRIPT, Fate, Server, behaviour_of, body_of, digest_of

ROOT = Path(__file__).parents[2]
SEED = 3
ALWAYS_GOOD = "good.jpg"
"""The image of every video and live clip."""

PROGRAM = """
import json, resource, sys
from pathlib import Path
from rope.fetch.fetch import fetch_images
from rope.fetch.limits import Limits
release, to, prefix, layout, checksums, patience = sys.argv[1:]
patience = json.loads(patience)
patience["private_hosts"] = frozenset(patience["private_hosts"])
fetch_images(Path(release), Path(to), prefix=prefix, limits=Limits(**patience), layout=layout, progress=False,
    checksums=Path(checksums), shard_bytes=300_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def image_names(n_images: int) -> list[str]:
    return [f"{i:06d}.jpg" for i in range(n_images)]


def scripted(name: str) -> str:
    return "good" if name in (ALWAYS_GOOD, "another") else behaviour_of(SEED, name)


def fate_of(name: str) -> Fate:
    return SCRIPT[scripted(name)]


def content_of(folder: Path, layout: str) -> dict[str, bytes]:
    """Image -> bytes of everything that is stored."""
    if layout == "files":
        return {name: (folder / name).read_bytes() for name in stored_files(folder)}
    with duckdb.connect() as connection:
        load_places(connection, folder, "located")
        rows = connection.execute("SELECT * FROM located").fetchall()
    return {image: read_place(folder, *place) for image, *place in rows}


def write_checksums(names: list[str], path: Path) -> Path:
    path.write_text("".join(f"{digest_of(name)}  {name}\n" for name in names))
    return path


def check_outcome(folder: Path, layout: str, names: list[str]) -> None:
    """All good images are there byte by byte, all bad ones in the ledger with their reason, status and tries."""
    names = [*names, ALWAYS_GOOD]
    assert content_of(folder, layout) == {name: body_of(name) for name in names if fate_of(name).reason is None}
    expected = {
        name: (fate_of(name).reason, fate_of(name).status, fate_of(name).tries or PATIENCE["tries"])
        for name in names
        if fate_of(name).reason is not None
    }
    ledger = ledger_of(folder)
    assert {lost.image: (lost.reason, lost.status, lost.tries) for lost in ledger} == expected
    assert len(ledger) == len(expected)


def fetch_with_kills(names: list[str], folder: Path, layout: str, server: Server) -> list[int]:
    """Fetch into `folder / "to"`; fails if something settled before a kill is asked for after it.

    Returns:
        The number of images settled at each kill, and the peak memory of the last process in MB.
    """
    release, checksums = release_of(names, folder / "release"), write_checksums(names, folder / "sums")
    to = folder / "to"
    patience = json.dumps(PATIENCE | {"private_hosts": ["127.0.0.1"]})
    command = [sys.executable, "-c", PROGRAM, *map(str, (release, to, server.prefix, layout, checksums, patience))]
    kills = sorted(random.Random(SEED).sample(range(len(names) // 10, len(names) * 9 // 10), 3))
    settled: dict[str, int] = {}
    n_settled = []
    for kill_at in kills:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(server.requests) < kill_at:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        settled = _settled_now(settled, to, layout, server)
        n_settled.append(len(settled))
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    _settled_now(settled, to, layout, server)
    return [*n_settled, int(done.stdout)]


def _settled_now(before: dict[str, int], to: Path, layout: str, server: Server) -> dict[str, int]:
    """Image -> requests so far, of all that are stored or in the ledger."""
    assert {name: server.requests[name] for name in before} == before
    return {name: server.requests[name] for name in (*content_of(to, layout), *(lost.image for lost in ledger_of(to)))}
