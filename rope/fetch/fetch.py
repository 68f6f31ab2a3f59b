"""Fetch the images and videos of a release: plan, transfer with many connections, store, and go on after a kill."""

import asyncio
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from rope.console import progress_bar
from rope.errors import ReleaseError, UsageError
from rope.extras import needed_by, require
from rope.fetch.access import Access
from rope.fetch.ledger import Ledger
from rope.fetch.limits import FetchLimits
from rope.fetch.names import LEDGER_NAME, check_prefix
from rope.fetch.outcome import Fetched, FetchJob, LostImage
from rope.fetch.plan import (
    Status,
    count_todo,
    has_videos,
    iter_jobs,
    make_plan,
    name_without_url,
    open_todo,
    refuse_company,
    status_of,
)
from rope.fetch.store import Layout, Store, choose_layout, open_store
from rope.sources.formats import Format, find_source

if TYPE_CHECKING:
    from rope.fetch.transfer import Client

__all__ = ["FetchReport", "fetch_images", "fetch_status"]

_JOBS_A_CONNECTION: Final = 4
"""Images under way for each connection: most of those that wait do so between two tries."""

_OUTCOMES_A_BATCH: Final = 64


@dataclass(slots=True)
class FetchReport:
    """The outcome of a fetch.

    Attributes:
        n_before: images that were stored or given up before.
        n_fetched: images that arrived.
        n_bytes: of these.
        lost: reason -> images given up.
    """

    n_before: int = 0
    n_fetched: int = 0
    n_bytes: int = 0
    lost: Counter[str] = field(default_factory=Counter)


def fetch_images(
    release: Path,
    folder: Path,
    *,
    prefix: str | None,
    limits: FetchLimits,
    release_format: Format | None = None,
    encoding: str | None = None,
    layout: Layout | None = None,
    n_frames: int | None = None,
    checksums: Path | None = None,
    retry_lost: bool = False,
    access: Access = Access(),  # noqa: B008 -- frozen
    shard_bytes: int = 256 << 20,
    memory_bytes: int = 512 << 20,
    progress: bool = True,
) -> FetchReport:
    """Fetch the images of a release that are not there yet; needs the extra `fetch`.

    Where the release lists video or sound files, these are fetched too, which needs the extra `video`.

    Every image ends in one of two places: in the folder, whole and verified, or in its ledger `failed.jsonl`, with the
    reason. Both are looked up at the beginning, so a killed fetch resumes with what is missing.

    Args:
        release: the folder with its text files.
        folder: where the images go.
        prefix: what URLs begin with, before the name; None where all names are URLs.
        limits: on connections, rate, tries, times and sizes, and which hosts are allowed.
        release_format: see `rope.sources.formats`; None to tell it by the names of the files.
        encoding: of text files without a byte order mark; None for UTF-8.
        layout: `files` for a file each, `tar` for tar shards; None for what the folder has, or files.
        n_frames: fetch only those frames of a clip that a model with so many frames is given; None for all.
        checksums: a file as `sha256sum` writes it; images that are not in it are not compared.
        retry_lost: fetch those of the ledger again too.
        access: headers and cookies to send.
        shard_bytes: size of a tar shard to aim at.
        memory_bytes: limit of the database; the whole needs a few hundred MB more.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a folder or file does not exist, an option is out of range or missing, another process fetches
            into the folder, or aiohttp is not installed.
        ReleaseError: a file of the release is missing, or one image after the other was given up.
    """
    if shard_bytes < 1 or memory_bytes < 64 << 20 or (n_frames is not None and n_frames < 1):
        raise UsageError("need shards of at least 1 byte, 64 MiB of memory and 1 frame")
    if prefix is not None:
        check_prefix(prefix)
    elif access.headers:
        raise UsageError("headers are sent only to the server of the prefix, and none is given; name it with --prefix")
    client = _make_client(prefix or "", limits, access, folder)
    source = find_source(release, release_format, encoding)
    layout = choose_layout(folder, layout)
    refuse_company(folder)
    n_bytes = sum((source.folder / name).stat().st_size for name in source.files)
    with progress_bar("reading the release", n_bytes, shown=progress) as advance:
        make_plan(source, folder, n_frames, memory_bytes, advance)
    with open_todo(folder, layout, checksums=checksums, retry_lost=retry_lost, memory_bytes=memory_bytes) as connection:
        if prefix is None and (name := name_without_url(connection)) is not None:
            raise UsageError(f"{release}: {name!r} is not a URL; say with --prefix what addresses begin with")
        if has_videos(connection):
            _check_videos(layout)
        n_todo, n_wanted = count_todo(connection)
        with (
            closing(open_store(folder, layout, shard_bytes)) as store,
            progress_bar("fetching", n_todo, shown=progress) as advance,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such images are refused here
            run = _Run(store, Ledger(folder / LEDGER_NAME), limits, advance, FetchReport(n_before=n_wanted - n_todo))
            asyncio.run(run.transfer(iter_jobs(connection), client))
    return run.report


def fetch_status(
    release: Path,
    folder: Path,
    *,
    release_format: Format | None = None,
    encoding: str | None = None,
    memory_bytes: int = 512 << 20,
) -> Status:
    """How far the fetch into a folder is, by the plan of the last one; may be asked while it runs.

    Raises:
        UsageError: nothing was fetched into it, or another release, or the release has changed.
        ReleaseError: a file of the release is missing.
    """
    source = find_source(release, release_format, encoding)
    return status_of(source, folder, choose_layout(folder, None), memory_bytes)


def _make_client(prefix: str, limits: FetchLimits, access: Access, folder: Path) -> "Client":
    with needed_by("fetching", "fetch"):
        from rope.fetch.transfer import Client
    return Client(prefix, limits, access=access, folder=folder)


def _check_videos(layout: Layout) -> None:
    """Raise unless video files can be stored and looked into."""
    if layout == "tar":
        raise UsageError("the release lists video files, which do not go into tar shards; fetch with --layout files")
    require("av", "checking videos")


@dataclass(slots=True)
class _Run:
    """The transfer of all images of one call."""

    store: Store
    ledger: Ledger
    limits: FetchLimits
    advance: Callable[[int], None]
    report: FetchReport
    n_lost_in_a_row: int = 0

    async def transfer(self, jobs: Iterator[FetchJob], client: "Client") -> None:
        """Fetch every image; what has arrived when this is stopped, by an error or an interrupt, is stored."""
        n_workers = self.limits.connections * _JOBS_A_CONNECTION
        outcomes: asyncio.Queue[Fetched | LostImage | None] = asyncio.Queue()
        room = asyncio.Semaphore(n_workers + _OUTCOMES_A_BATCH)
        async with client:
            await client.check_prefix()

            async def work() -> None:
                for job in jobs:  # all take from the same iterator
                    await room.acquire()  # released when the image is stored; waiting for it afterwards could lose it
                    outcomes.put_nowait(await client.fetch(job))

            async def work_all() -> None:
                await asyncio.gather(*(work() for _ in range(n_workers)))

            settler = asyncio.create_task(self._settle_all(outcomes, room))
            worker = asyncio.create_task(work_all())
            try:
                await asyncio.wait({settler, worker}, return_when=asyncio.FIRST_COMPLETED)
                if worker.done():
                    worker.result()
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                outcomes.put_nowait(None)
                await settler

    async def _settle_all(self, outcomes: "asyncio.Queue[Fetched | LostImage | None]", room: asyncio.Semaphore) -> None:
        """Store what arrives, some at a time in another thread, until None comes."""
        is_open = True
        while is_open:
            batch = [await outcomes.get()]
            while not outcomes.empty() and len(batch) < _OUTCOMES_A_BATCH:
                batch.append(outcomes.get_nowait())
            is_open = None not in batch
            settled = [outcome for outcome in batch if outcome is not None]
            self._count(settled, await asyncio.to_thread(self._settle, settled))
            for _ in settled:
                room.release()

    def _settle(self, outcomes: Sequence[Fetched | LostImage]) -> list[LostImage]:
        """Store images and write the ledger; returns what was given up."""
        lost = [outcome for outcome in outcomes if isinstance(outcome, LostImage)]
        arrived = [outcome for outcome in outcomes if isinstance(outcome, Fetched)]
        self.report.n_bytes += sum(one.n_bytes for one in arrived)
        lost += self.store.save(arrived)
        self.ledger.write(lost)
        return lost

    def _count(self, outcomes: Sequence[Fetched | LostImage], lost: Sequence[LostImage]) -> None:
        self.report.n_fetched += len(outcomes) - len(lost)
        self.report.lost.update(one.reason for one in lost)
        self.advance(len(outcomes))
        for outcome in outcomes:
            if isinstance(outcome, Fetched):
                self.n_lost_in_a_row = 0
            elif outcome.tries:
                self.n_lost_in_a_row += 1
                self._refuse_to_go_on(outcome)

    def _refuse_to_go_on(self, last: LostImage) -> None:
        if self.n_lost_in_a_row >= self.limits.max_lost_in_a_row:
            raise ReleaseError(
                f"{last.url}: {last.reason} ({last.detail}), and {self.n_lost_in_a_row - 1} images before it could not "
                "be fetched either; see that the prefix is right and the server is up, and go on with --retry-failed"
            )
