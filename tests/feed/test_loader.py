"""The state of a feed: whatever stops a run, the next goes on as if nothing had happened."""

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rope.errors import DatasetError, UsageError
from rope.feed import BalancedProducts, Feed, ProcessShare, SampleStream, loader
from tests.feed.conftest import SIZES, write_products
from tests.feed.readers import READER, plain

# The tests want several workers on any machine.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def balanced(data, **options):
    return BalancedProducts(data, "train", **({"reader": READER, "seed": 3, "batch_size": 2} | options))


def stream(data, **options):
    defaults = {"reader": READER, "seed": 3, "batch_size": 3, "groups_a_block": 3}
    return SampleStream(data, "video", "train", **(defaults | options))


SOURCES = {"balanced": balanced, "stream": stream}
both = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)


def epochs(feed, n):
    return [plain(batch) for _ in range(n) for batch in feed]


@both
@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_the_sequence_does_not_depend_on_the_number_of_workers(n_workers, make, data):
    assert epochs(Feed(make(data), num_workers=n_workers, prefetch=3), 2) == epochs(Feed(make(data)), 2)


class EndsOthers:
    """In a cycle with itself; whoever takes that apart and is not who made it, ends."""

    def __init__(self):
        self.made_by, self.itself = os.getpid(), self

    def __del__(self):
        if os.getpid() != self.made_by:
            os._exit(1)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_workers_leave_the_garbage_of_their_parent_alone(data, monkeypatch):
    plainly = loader._Items.__getitem__
    monkeypatch.setattr(loader._Items, "__getitem__", lambda *given: (gc.collect(), plainly(*given))[1])
    gc.collect()
    gc.disable()
    try:
        EndsOthers()
        assert len(epochs(Feed(stream(data), num_workers=1), 1)) == len(Feed(stream(data)))
    finally:
        gc.enable()


@both
def test_a_feed_goes_on_after_any_batch_of_any_epoch(make, data):
    whole = epochs(Feed(make(data)), 2)
    feed = Feed(make(data))
    done = 0
    while feed.epoch < 2:
        for batch in feed:
            assert plain(batch) == whole[done]
            done += 1
            resumed = Feed(make(data))
            resumed.load_state_dict(json.loads(json.dumps(feed.state_dict())))
            assert epochs(resumed, 2 - feed.epoch) == whole[done:]
    assert done == len(whole) == 2 * len(feed)


@both
def test_a_loop_that_breaks_goes_on_at_the_next_batch(make, data):
    feed, whole = Feed(make(data), num_workers=2), epochs(Feed(make(data)), 1)
    got = []
    while feed.epoch == 0:
        for batch in feed:
            got.append(plain(batch))
            if len(got) % 5 == 0:
                break
    assert got == whole


@both
@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_feed_that_knows_its_epochs_gives_the_same_after_breaks_and_a_return(n_workers, make, data):
    whole = epochs(Feed(make(data)), 3)
    feed, got = Feed(make(data), num_workers=n_workers, epochs=3), []
    while feed.epoch < 3:
        for batch in feed:
            got.append(plain(batch))
            if len(got) % 5 == 0:
                break
    assert got == whole
    feed.load_state_dict({**feed.state_dict(), "epoch": 1})
    assert epochs(feed, 2) == whole[len(feed) :]
    assert epochs(feed, 1) == epochs(Feed(make(data)), 4)[len(whole) :]  # one more than it was told


class Named:
    """A reader whose texts name the process that read."""

    def wanted(self, domain):
        return 1

    def read(self, sample, seed, epoch):
        return READER.read(sample, seed, epoch)._replace(text=str(os.getpid()))


@pytest.mark.parametrize(("known", "n_processes"), [(None, 3), (3, 1)])
def test_workers_of_a_feed_that_knows_its_epochs_begin_once(known, n_processes, data):
    feed = Feed(stream(data, reader=Named()), num_workers=1, epochs=known)
    assert len({text for _ in range(3) for batch in feed for text in batch.texts}) == n_processes


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_batch_that_cannot_be_read_is_asked_for_again(n_workers, tmp_path):
    folder = write_products(tmp_path, SIZES, damaged={"p03-v0"})
    source = BalancedProducts(folder, "train", reader=READER, seed=3, batch_size=2)
    feed, places = Feed(source, num_workers=n_workers, epochs=3), []
    for _ in range(2):
        with pytest.raises(DatasetError, match="p03-v0"):
            epochs(feed, 3)
        places.append((feed.epoch, feed.state_dict()["position"]))
    assert places[0] == places[1]


RUN = """
import json, sys, time
from pathlib import Path
from rope.feed import Feed
from rope.files import atomic_path
from tests.feed.readers import plain
from tests.feed.test_loader import SOURCES

kind, n_workers = sys.argv[1], int(sys.argv[2])
data, log, saved = map(Path, sys.argv[3:])
feed = Feed(SOURCES[kind](data), num_workers=n_workers, prefetch=2)
if saved.exists():
    feed.load_state_dict(json.loads(saved.read_text()))
while feed.epoch < 3:
    for batch in feed:
        with atomic_path(saved) as path:
            path.write_text(json.dumps(feed.state_dict()))
        with log.open("a") as file:
            file.write(plain(batch) + "\\n")
        time.sleep(0.01)
"""


def killed_after(n_batches: int, n_workers: int, kind: str, data: Path, folder: Path) -> int:
    """Run the loop in its own process, and kill it when its log has so many lines more; returns how it ended."""
    log, saved = folder / "log.txt", folder / "state.json"
    n_before = len(log.read_text().splitlines()) if log.exists() else 0
    command = [sys.executable, "-c", RUN, kind, str(n_workers), str(data), str(log), str(saved)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < n_before + n_batches):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize("kind", SOURCES)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(kind, data, tmp_path):
    draw = random.Random(f"{kind} 0")
    whole = epochs(Feed(SOURCES[kind](data)), 3)
    for n_workers in (2, 0, 3):
        assert killed_after(draw.randint(1, len(whole) // 4), n_workers, kind, data, tmp_path) == -signal.SIGKILL
    killed_after(len(whole), 1, kind, data, tmp_path)
    logged = (tmp_path / "log.txt").read_text().splitlines()
    # The state is saved before the line is written, so each of three kills may cost a line of the log, not of the feed.
    kept = iter(whole)
    assert all(line in kept for line in logged)
    assert len(whole) - 3 <= len(logged) <= len(whole)


@both
def test_no_generator_of_the_training_program_is_read_or_moved(make, data):
    before = (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    epochs(Feed(make(data)), 1)
    assert (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


@both
def test_the_state_is_of_what_the_loop_has_and_not_of_what_workers_prepared(make, data):
    feed = Feed(make(data), num_workers=2, prefetch=4)
    batches = iter(feed)
    next(batches)
    time.sleep(0.3)
    assert feed.state_dict()["position"] == (2 if make is balanced else 3)


@both
@pytest.mark.parametrize(
    ("options", "expected"), [({"seed": 4}, "seed is 3 there and 4 here"), ({}, "dataset is 'd0' there and 'd1' here")]
)
def test_the_state_of_another_order_is_refused(options, expected, make, data, tmp_path):
    other = data if options else write_products(tmp_path / "data", SIZES, fingerprint="d1")
    with pytest.raises(UsageError, match=f"this state belongs to another feed: {expected}; start over"):
        Feed(make(other, **options)).load_state_dict(Feed(make(data)).state_dict())


def test_a_stream_is_resumed_on_as_many_ranks(data):
    state = Feed(stream(data, share=ProcessShare(1, 2))).state_dict()
    with pytest.raises(UsageError, match="samples_a_rank is 33 there and 22 here, world_size is 2 there and 3 here"):
        Feed(stream(data, share=ProcessShare(1, 3))).load_state_dict(state)
    with pytest.raises(UsageError, match="samples_a_rank is 33 there and 32 here; start over"):
        Feed(stream(data, share=ProcessShare(1, 2), batch_size=4, drop_last=True)).load_state_dict(state)
    other = Feed(stream(data, share=ProcessShare(1, 2), batch_size=7))
    other.load_state_dict(state | {"position": 3})
    rest = [sample_id for batch in other for sample_id in batch.sample_ids]
    assert rest == [i for batch in Feed(stream(data, share=ProcessShare(1, 2))) for i in batch.sample_ids][3:]


def test_products_are_resumed_on_any_number_of_ranks(data):
    feed = Feed(balanced(data))
    first = [product for _, batch in zip(range(4), feed, strict=False) for product in batch.product_ids]
    state = feed.state_dict()
    rest = []
    for rank in range(3):
        other = Feed(balanced(data, share=ProcessShare(rank, 3), batch_size=5))
        other.load_state_dict(state)
        rest += [product for batch in other for product in batch.product_ids]
    assert sorted(first + rest) == sorted(SIZES)


@pytest.mark.parametrize("options", [{"num_workers": -1}, {"prefetch": 0}, {"epochs": 0}])
def test_options_out_of_range_are_refused(options, data):
    with pytest.raises(UsageError, match="need num_workers >= 0, prefetch >= 1 and epochs >= 1"):
        Feed(balanced(data), **options)
