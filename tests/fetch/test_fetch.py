"""Whole fetches, from a server that behaves and one that does not."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from rope.dataset.build import build_dataset
from rope.dataset.directory import iter_samples
from rope.errors import ReleaseError, UsageError
from rope.fetch.fetch import fetch_images, fetch_status
from rope.media import choose_frames
from tests.fetch.conftest import ledger_of, limits, release_of
from tests.fetch.exactness import (
    ROOT,
    check_outcome,
    content_of,
    fate_of,
    fetch_with_kills,
    image_names,
    scripted,
    write_checksums,
)
from tests.fetch.server import SCRIPT
from tests.releases import tiny_release, with_reviews, write_release


def fetch(release, to, server, changes=None, **options):
    return fetch_images(release, to, prefix=server.prefix, limits=limits(**(changes or {})), progress=False, **options)


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_every_fault_and_three_kills_lose_nothing_and_nothing_is_asked_for_twice(layout, serve, tmp_path):
    names = image_names(2000)
    assert {scripted(name) for name in names} == set(SCRIPT)
    *n_settled, _ = fetch_with_kills(names, tmp_path, layout, serve(behave=scripted))
    assert 0 < n_settled[0] <= n_settled[1] <= n_settled[2] < len(names)
    check_outcome(tmp_path / "to", layout, names)


def test_a_fault_gets_as_many_requests_as_it_deserves(serve, tmp_path):
    # The client itself repeats a request that it sent over a connection which the server had kept open and then reset.
    names = [name for name in image_names(500) if not scripted(name).startswith("reset")]
    server = serve(behave=scripted)
    release, checksums = release_of(names, tmp_path / "release"), write_checksums(names, tmp_path / "sums")
    report = fetch(release, tmp_path / "to", server, checksums=checksums)
    expected = {name: (fate_of(name).tries or 3) * fate_of(name).requests_a_try for name in names}
    assert {name: server.requests[name] for name in names} == expected
    assert report.lost == Counter(fate_of(name).reason for name in names if fate_of(name).reason is not None)
    assert report.n_fetched + sum(report.lost.values()) == len(names) + 1
    check_outcome(tmp_path / "to", "files", names)


def test_images_given_up_are_asked_for_again_only_on_request(serve, tmp_path):
    mood = {"kind": "404"}
    server = serve(behave=lambda name: mood["kind"])
    release = release_of(["a.jpg", "b.jpg"], tmp_path / "release")
    for kind, options, n_fetched, n_requests in (
        ("404", {}, 0, 3),
        ("good", {}, 0, 3),
        ("500", {"retry_lost": True}, 0, 12),
        ("good", {"retry_lost": True}, 3, 15),
        ("good", {"retry_lost": True}, 0, 15),
    ):
        mood["kind"] = kind
        assert fetch(release, tmp_path / "to", server, **options).n_fetched == n_fetched
        assert server.requests.total() == n_requests
    assert [lost.status for lost in ledger_of(tmp_path / "to")] == [404] * 3 + [500] * 3


def test_status_counts_what_is_there_missing_and_failed_by_the_last_reason(serve, tmp_path):
    fates = {"a.jpg": "404", "b.jpg": "html", "c.jpg": "404"}
    server = serve(behave=lambda name: fates.get(name, "good"))
    release, to = release_of(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], tmp_path / "release"), tmp_path / "to"
    fetch(release, to, server)
    fates |= {"a.jpg": "403", "c.jpg": "good"}
    fetch(release, to, server, retry_lost=True)
    (to / "d.jpg").unlink()
    status = fetch_status(release, to)
    assert (status.n_wanted, status.n_there, status.n_missing) == (5, 2, 1)
    assert status.lost == {"http_status 403": 1, "not_an_image": 1}


def test_status_needs_a_fetch_from_the_same_release(serve, tmp_path):
    release, to = release_of(["a.jpg"], tmp_path / "release"), tmp_path / "to"
    with pytest.raises(UsageError, match="nothing was fetched here; run rope fetch"):
        fetch_status(release, to)
    fetch(release, to, serve())
    release_of(["a.jpg", "b.jpg"], tmp_path / "release")
    with pytest.raises(UsageError, match="another release, or an older state of this one, was fetched"):
        fetch_status(release, to)


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_images_that_the_release_lists_later_are_fetched_then(layout, serve, tmp_path):
    server, to = serve(), tmp_path / "to"
    for names in (["a.jpg"], ["a.jpg", "b.jpg"], ["b.jpg", "c.jpg"]):
        fetch(release_of(names, tmp_path / "release"), to, server, layout=layout)
    assert set(content_of(to, layout)) == {"a.jpg", "b.jpg", "c.jpg", "good.jpg"}
    assert set(server.requests.values()) == {1}


def test_only_the_frames_that_training_samples_are_fetched(serve, tmp_path):
    lines, server = tiny_release(), serve()
    numbers = [30 * i for i in range(20)]
    lines["training_video_frames.txt"] = [f"va1, {n}, {n}.jpg" for n in sorted(numbers, key=str)] + ["va2, 0, 0.jpg"]
    release = write_release(tmp_path / "release", lines)
    fetch(release, tmp_path / "to", server, n_frames=8)
    chosen = {f"{numbers[i]}.jpg" for i in choose_frames(20, 8)} | {"0.jpg"}
    assert {name for name in server.requests if name[0].isdigit()} == chosen
    fetch(release, tmp_path / "to", server)
    assert {name for name in server.requests if name[0].isdigit()} == {f"{n}.jpg" for n in numbers}
    assert set(server.requests.values()) == {1}


def test_names_that_lead_elsewhere_come_to_the_ledger_and_nothing_is_asked_for(serve, tmp_path):
    bad = [
        "../up.jpg",
        "/etc/x.jpg",
        "a/../../b.jpg",
        "C:/x.jpg",
        "nul\0.jpg",
        "a\\b.jpg",
        ".fetch/x.jpg",
        "d/",
        "n" * 300,
    ]
    server, release = serve(), release_of([*bad, "a/b.jpg", "./c.jpg", "d//e.jpg"], tmp_path / "release")
    fetch(release, tmp_path / "to", server)
    ledger = ledger_of(tmp_path / "to")
    assert {(lost.reason, lost.tries) for lost in ledger} == {("bad_name", 0)}
    assert len(ledger) == len(bad)
    assert sorted(content_of(tmp_path / "to", "files")) == ["a/b.jpg", "c.jpg", "d/e.jpg", "good.jpg"]
    assert set(server.requests) == {"a/b.jpg", "c.jpg", "d//e.jpg", "good.jpg"}


def test_a_name_that_is_a_url_is_its_own_address(serve, tmp_path):
    server, other = serve(), serve()
    name = f"{other.prefix}x.jpg"
    release = release_of([name], tmp_path / "release")
    fetch(release, tmp_path / "to", server)
    assert (dict(other.requests), "x.jpg" in server.requests) == ({"x.jpg": 1}, False)
    assert (tmp_path / "to" / name).is_file()


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_a_build_takes_what_was_fetched_and_quarantines_the_rest(layout, serve, tmp_path):
    fates = {"pa1-0.jpg": "404", "va1-30.jpg": "html"}
    release = write_release(tmp_path / "release", tiny_release())
    images = {path.name: path.read_bytes() for path in (release / "images").iterdir()}
    server = serve(behave=lambda name: fates.get(name, "good"), bodies=lambda name: images[name])
    fetch(release, tmp_path / "to", server, layout=layout)
    report = build_dataset(release, tmp_path / "out", image_root=tmp_path / "to", progress=False)
    faults = {fault.kind: fault.count for fault in report.faults}
    assert faults == {"unreadable_image": 2, "no_readable_image": 1, "no_page": 1}
    for name in fates:
        (release / "images" / name).unlink()
    beside = build_dataset(release, tmp_path / "beside", name="release", progress=False)
    assert beside.manifest.shards == report.manifest.shards


def test_shards_are_not_built_as_paths(serve, tmp_path):
    release = release_of(["a.jpg"], tmp_path / "release")
    fetch(release, tmp_path / "to", serve(), layout="tar")
    with pytest.raises(UsageError, match="images are in tar shards, where no path leads to them"):
        build_dataset(release, tmp_path / "out", image_root=tmp_path / "to", media="reference", progress=False)


def test_one_failure_after_the_other_stops_the_fetch(serve, tmp_path):
    release, server = release_of(image_names(200), tmp_path / "release"), serve(behave=lambda name: "404")
    with pytest.raises(ReleaseError, match=r"http_status \(Not Found\), and 49 images before it could not be fetched"):
        fetch(release, tmp_path / "to", server, {"max_lost_in_a_row": 50})
    assert 50 <= len(ledger_of(tmp_path / "to")) < 200


def test_no_more_connections_than_allowed_are_open_and_no_more_requests_start(serve, tmp_path):
    server, release = serve(), release_of(image_names(40), tmp_path / "release")
    start = time.monotonic()
    fetch(release, tmp_path / "to", server, {"per_host": 3, "requests_per_s": 80.0})
    assert time.monotonic() - start > 0.5
    assert server.most_connections <= 3


@pytest.mark.parametrize("kind", ["429_once", "503_once"])
def test_a_server_that_asks_for_a_pause_gets_it(kind, serve, tmp_path):
    server = serve(behave=lambda name: kind, retry_after="1")
    start = time.monotonic()
    assert fetch(release_of(["a.jpg"], tmp_path / "release"), tmp_path / "to", server).n_fetched == 2
    assert time.monotonic() - start > 1
    assert set(server.requests.values()) == {2}


def test_an_interrupt_finishes_the_shard_and_ends_with_130(serve, tmp_path):
    def behave(name):
        if server.requests.total() == 500:
            process.send_signal(signal.SIGINT)
        return "good"

    server, to = serve(behave=behave), tmp_path / "to"
    release = release_of(image_names(3000), tmp_path / "release")
    # A shell hands its background jobs on with interrupts ignored, and so the tests may have got them.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from rope.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "fetch", release, "--out", to, "--allow-private"]
    process = subprocess.Popen([*command, "--prefix", server.prefix, "--layout", "tar"], cwd=ROOT)
    assert process.wait() == 130
    assert [path.name for path in sorted(to.glob("images*"))] == ["images-00000.parquet", "images-00000.tar"]
    assert 500 - 64 <= len(content_of(to, "tar")) < 3000  # 64 were on their way


def test_images_of_a_further_domain_are_fetched_and_built(serve, tmp_path):
    lines = with_reviews(tiny_release())
    lines["test_review_texts.txt"] = ["r1, it holds soup"]
    lines["test_review_images.txt"] = ["r1, 0, r1-0.jpg", "r1, 1, r1-1.jpg"]
    release, to = write_release(tmp_path / "release", lines), tmp_path / "to"
    shutil.rmtree(release / "images")
    fetch(release, to, serve())
    assert {"r1-0.jpg", "r1-1.jpg"} <= set(content_of(to, "files"))
    report = build_dataset(release, tmp_path / "data", image_root=to, progress=False)
    assert report.manifest.counts["validation"]["reviews"] == 1
    [(review,)] = iter_samples(tmp_path / "data", "review", "validation", batch_size=9)
    assert len(review.frames) == 2


def test_two_processes_do_not_fetch_into_one_folder(serve, tmp_path):
    release, to = release_of(["a.jpg"], tmp_path / "release"), tmp_path / "to"
    server = serve()
    fetch(release, to, server)
    program = f"import duckdb; c = duckdb.connect({str(to / '.fetch/todo.duckdb')!r}); print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.read(1)
    with pytest.raises(UsageError, match="another process is fetching into this folder"):
        fetch(release, to, server)
    assert fetch_status(release, to).n_missing == 0
    other.communicate(b"\n")


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("http://10.0.0.1/", "10.0.0.1 is not a public address; if it is your own server, say --allow-private"),
        ("http://localhost/", "localhost has the address 127.0.0.1, which is not public; if it is"),
        ("http://127.1/", "127.1 has the address 127.0.0.1, which is not public"),
        ("http://2130706433/", "2130706433 has the address 127.0.0.1, which is not public"),
        ("http://[::1", "Invalid"),
        ("images/", "images/ is not an address that begins with http:// or https://"),
        (None, "is not a URL; say with --prefix what addresses begin with"),
    ],
)
def test_a_wrong_prefix_is_refused_before_anything_fails_because_of_it(prefix, sentence, tmp_path):
    release = release_of(["a.jpg"], tmp_path / "release")
    with pytest.raises(UsageError, match=sentence):
        fetch_images(release, tmp_path / "to", prefix=prefix, limits=limits(), progress=False)
    assert ledger_of(tmp_path / "to") == []


def test_a_folder_keeps_its_layout(serve, tmp_path):
    release, server = release_of(["a.jpg"], tmp_path / "release"), serve()
    fetch(release, tmp_path / "to", server, layout="tar")
    assert fetch(release, tmp_path / "to", server).n_fetched == 0
    with pytest.raises(UsageError, match="holds images with the layout tar"):
        fetch(release, tmp_path / "to", server, layout="files")
