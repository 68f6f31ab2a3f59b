"""How far a fetch is, in sentences."""

from pathlib import Path

from rope.fetch.names import LEDGER_NAME
from rope.fetch.outcome import REASONS
from rope.fetch.plan import Status

__all__ = ["sentences"]


def sentences(status: Status, folder: Path) -> list[str]:
    """A line for the whole, one for each reason, and what to do next.

    >>> for line in sentences(Status(10, 7, {"http_status 404": 2}), Path("images")):
    ...     print(line)
    images: 7 of 10 images are there, 1 is missing, 2 were given up:
        2 x http_status 404: an answer with another status than 200
    images/failed.jsonl names those given up; --retry-failed asks for them again
    """
    what = "images and videos" if status.has_videos else "images"
    n_lost = sum(status.lost.values())
    missing = "1 is missing" if status.n_missing == 1 else f"{status.n_missing:,} are missing"
    lost = "" if not n_lost else ", 1 was given up:" if n_lost == 1 else f", {n_lost:,} were given up:"
    lines = [f"{folder}: {status.n_there:,} of {status.n_wanted:,} {what} are there, {missing}{lost}"]
    lines += [f"    {count:,} x {key}: {REASONS[key.split()[0]]}" for key, count in status.lost.items()]
    if n_lost:
        lines.append(f"{folder / LEDGER_NAME} names those given up; --retry-failed asks for them again")
    return lines
