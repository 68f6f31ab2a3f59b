"""Bring media of the web into a folder by the rules of `rope.fetch`: limits, tries, pauses, a look at each file."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from rope.config import Count, NonNegative, Positive, check_record
from rope.curation.pipeline.operation import MapOperation, Outcome, Reject, divide
from rope.extras import needed_by
from rope.fetch.limits import FetchLimits
from rope.fetch.names import is_url
from rope.fetch.outcome import FetchJob, LostImage
from rope.files import atomic_path

if TYPE_CHECKING:
    from rope.fetch.transfer import Client

__all__ = ["DOWNLOAD", "Download", "download", "file_of", "urls_of"]


@dataclass(frozen=True, slots=True)
class Download:
    """Options of the operation `download`.

    Attributes:
        folder: where files go; all workers must see it.
        connections: at a time, of each worker.
        requests_per_s: starts of requests per second to one host, of each worker; None for as many as go.
        tries: requests for one file before it is given up.
        backoff_s: see `rope.fetch.limits.FetchLimits`.
        private_hosts: hosts that may have an address of a private network.
        again: another number tries again what was given up, and fetches nothing that is in the folder.

    Raises:
        UsageError: a number is out of range.
    """

    folder: Path
    connections: Count = 16
    requests_per_s: Positive | None = None
    tries: Count = 6
    backoff_s: NonNegative = 1.0
    private_hosts: list[str] = field(default_factory=list)
    again: int = 0

    def __post_init__(self) -> None:
        check_record(self)

    def limits(self) -> FetchLimits:
        """The same as `rope.fetch` wants it."""
        return FetchLimits(
            seed=0,
            connections=self.connections,
            per_host=self.connections,
            requests_per_s=self.requests_per_s,
            tries=self.tries,
            backoff_s=self.backoff_s,
            private_hosts=frozenset(self.private_hosts),
        )


def download(batch: pa.RecordBatch, options: Download) -> Outcome:
    """Fetch the media cells that are addresses of the web; the rows then name the files. Others stay as they are.

    A file has the hash of its address for a name, and appears when it is whole and verified; what is there is not
    requested again, so that a run that was killed goes on. Rejects a row with the reason of `rope.fetch` for its first
    file that was given up, and the address in the detail.
    """
    rows = batch.select(["frames", "video"]).to_pylist()
    wanted = {stored["path"]: "image" for row in rows for stored in row["frames"] or [] if _is_on_web(stored)}
    wanted |= {row["video"]["path"]: "video" for row in rows if row["video"] and _is_on_web(row["video"])}
    folder = Path(options.folder)
    missing = {url: kind for url, kind in wanted.items() if not file_of(url, folder).is_file()}
    lost = asyncio.run(_fetch_all(_client(options), folder, missing)) if missing else {}
    for name in ("frames", "video"):
        values = [_local(row[name], folder) for row in rows]
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, batch.schema.field(place), pa.array(values, batch.schema.field(place).type))
    return divide(batch, [_verdict(row, lost) for row in rows])


def _is_on_web(stored: dict[str, Any]) -> bool:
    return stored["path"] is not None and is_url(stored["path"])


def urls_of(row: dict[str, Any]) -> list[str]:
    """The addresses of the web among the media of a row with `frames` and `video`."""
    media = [*(row["frames"] or []), *([row["video"]] if row["video"] else [])]
    return [stored["path"] for stored in media if _is_on_web(stored)]


def file_of(url: str, folder: Path) -> Path:
    """Where the file of an address is."""
    name = hashlib.sha256(url.encode()).hexdigest()
    return (folder / name[:2] / name).absolute()


def _local(value: Any, folder: Path) -> Any:  # noqa: ANN401  a cell of frames or video
    """A cell with files instead of addresses."""
    if isinstance(value, list):
        return [_local(one, folder) for one in value]
    return {**value, "path": str(file_of(value["path"], folder))} if value and _is_on_web(value) else value


def _verdict(row: dict[str, Any], lost: dict[str, LostImage]) -> Reject | None:
    media = [*(row["frames"] or []), *([row["video"]] if row["video"] else [])]
    first = next((lost[stored["path"]] for stored in media if stored["path"] in lost), None)
    if first is None:
        return None
    return Reject(first.reason, first.status and float(first.status), f"{first.url}: {first.detail}")


def _client(options: Download) -> "Client":
    with needed_by("the operation download", "fetch"):
        from rope.fetch.transfer import Client
    return Client("", options.limits(), folder=Path(options.folder))


async def _fetch_all(client: "Client", folder: Path, wanted: dict[str, Any]) -> dict[str, LostImage]:
    """Fetch and store files; returns those given up, by their address."""

    async def fetch(url: str, kind: Any) -> LostImage | None:  # noqa: ANN401  a `Kind`
        path = file_of(url, folder)
        outcome = await client.fetch(FetchJob(url, path.name, kind=kind))
        if isinstance(outcome, LostImage):
            return outcome
        with atomic_path(path) as temporary:
            temporary.write_bytes(outcome.read())
        if isinstance(outcome.content, Path):  # of a video
            outcome.content.unlink()
        return None

    async with client:
        outcomes = await asyncio.gather(*(fetch(url, kind) for url, kind in wanted.items()))
    return {url: outcome for url, outcome in zip(wanted, outcomes, strict=True) if outcome is not None}


DOWNLOAD: Final = MapOperation(version=1, options=Download, apply=download)
