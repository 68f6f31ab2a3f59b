"""Fetching images from a local server: throughput beside img2dataset, and exactness where the server misbehaves.

    python benchmarks/fetch.py [--images 20000] [--img2dataset PYTHON]
    python benchmarks/fetch.py --faults [--images 100000]

The server runs in its own process and answers from memory: JPEG files of 20 to 60 KB, all different. Every client
runs in its own process too, so that its time and peak memory are its own. PYTHON is the interpreter of an
environment with img2dataset 1.47, which cannot share one with this project, as it needs an older pandas. It is told to
store the bytes as they come: no resizing, no encoding, no hash. Server and client share the cores.

With `--faults` the server of the tests misbehaves by its seeded script, the client is killed three times at random
moments, and the outcome is compared with the script: every image, every line of the ledger, every request.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the server and the script are those of the tests

from tests.fetch.conftest import ledger_of, release_of  # noqa: E402
from tests.fetch.exactness import check_outcome, fetch_with_kills, image_names, scripted  # noqa: E402
from tests.fetch.server import ServerThread  # noqa: E402

N_ROUNDS = 3

OURS = """
import json, resource, time
from pathlib import Path
from rope.fetch.fetch import fetch_images
from rope.fetch.limits import Limits
release, to, prefix, layout = sys.argv[1:]
limits = Limits(seed=0, private_hosts=frozenset({"127.0.0.1"}))
start = time.perf_counter()
report = fetch_images(Path(release), Path(to), prefix=prefix, limits=limits, layout=layout, progress=False)
print(json.dumps({"fetched": report.n_fetched, "s": time.perf_counter() - start,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""

THEIRS = """
import glob, json, resource, sys, time
from img2dataset import download
if __name__ == "__main__":
    urls, to, layout, processes, threads = sys.argv[1:]
    start = time.perf_counter()
    download(url_list=urls, input_format="txt", output_folder=to, output_format=layout, processes_count=int(processes),
        thread_count=int(threads), resize_mode="no", disable_all_reencoding=True, compute_hash=None,
        number_sample_per_shard=2500)
    seconds = time.perf_counter() - start
    fetched = sum(json.load(open(path))["successes"] for path in glob.glob(to + "/*_stats.json"))
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    print()
    print(json.dumps({"fetched": fetched, "s": seconds, "peak_mb": max(own.ru_maxrss, children.ru_maxrss) / 1024}))
"""


def run(python: str, program: Path, *arguments: object) -> dict:
    """Run a client to its end; returns the JSON of its last line."""
    done = subprocess.run([python, program, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def clients(python_of_theirs: str | None, release: Path, urls: Path, prefix: str) -> dict:
    """Name -> a function that fetches everything into a new folder."""
    ours, theirs = urls.with_name("ours.py"), urls.with_name("theirs.py")
    ours.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})" + OURS)
    theirs.write_text(THEIRS)
    tasks = {
        f"rope fetch, {layout}, 64 connections": lambda to, layout=layout: run(
            sys.executable, ours, release, to, prefix, layout
        )
        for layout in ("files", "tar")
    }
    if python_of_theirs is not None:
        for layout, processes, threads in (
            ("files", 1, 64),
            ("files", 2, 32),
            ("files", 2, 128),
            ("webdataset", 2, 32),
        ):
            tasks[f"img2dataset, {layout}, {processes} x {threads} threads"] = (
                lambda to, options=(layout, processes, threads): run(python_of_theirs, theirs, urls, to, *options)
            )
    return tasks


def compare(n_images: int, python_of_theirs: str | None, folder: Path) -> None:
    """Print images a second of every client: the median of some rounds, taken in turns."""
    names = image_names(n_images)
    release = release_of(names, folder / "release")
    server = subprocess.Popen([sys.executable, "-m", "tests.fetch.server"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        prefix = f"http://127.0.0.1:{server.stdout.readline().strip()}/images/"
        urls = folder / "urls.txt"
        urls.write_text("".join(f"{prefix}{name}\n" for name in [*names, "good.jpg"]))
        tasks = clients(python_of_theirs, release, urls, prefix)
        results = {name: [] for name in tasks}
        for round_ in range(N_ROUNDS):
            for i, (name, task) in enumerate(tasks.items()):
                results[name].append(task(folder / f"{round_}-{i}"))
                shutil.rmtree(folder / f"{round_}-{i}")
    finally:
        server.kill()
    print("| client | images/s | seconds of each round | peak MB |\n|---|---|---|---|")
    for name, found in results.items():
        assert {result["fetched"] for result in found} == {n_images + 1}, name
        seconds = sorted(result["s"] for result in found)
        peak = max(result["peak_mb"] for result in found)
        rounds = ", ".join(f"{value:.1f}" for value in seconds)
        print(f"| {name} | {(n_images + 1) / statistics.median(seconds):,.0f} | {rounds} | {peak:,.0f} |")


def misbehave(n_images: int, folder: Path) -> None:
    """Fetch from the server that misbehaves, with three kills, in both layouts, and compare with its script."""
    names = image_names(n_images)
    for layout in ("files", "tar"):
        (folder / layout).mkdir()
        start = time.perf_counter()
        with ServerThread(behave=scripted) as server:
            *n_settled, peak_mb = fetch_with_kills(names, folder / layout, layout, server)
            seconds = time.perf_counter() - start
            check_outcome(folder / layout / "to", layout, names)
            n_requests = server.requests.total()
        reasons = Counter(lost.reason for lost in ledger_of(folder / layout / "to"))
        print(
            f"{layout}: {n_images + 1:,} images in {seconds:.0f} s and {n_requests:,} requests; settled at each kill: "
        )
        print(f"    {n_settled}; peak of the last process {peak_mb} MB; all as scripted, {reasons.total():,} given up:")
        print(f"    {dict(sorted(reasons.items()))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int)
    parser.add_argument("--img2dataset", metavar="PYTHON")
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.faults:
            misbehave(options.images or 100_000, Path(folder))
        else:
            compare(options.images or 20_000, options.img2dataset, Path(folder))


if __name__ == "__main__":
    main()
