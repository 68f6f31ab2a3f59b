"""Datasets under an open licence that are fetched by name, each from the address where its authors publish it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from rope.errors import ReleaseError, UsageError
from rope.extras import needed_by
from rope.fetch.limits import FetchLimits
from rope.fetch.names import STATE_NAME, check_prefix
from rope.fetch.outcome import FetchJob, LostImage
from rope.fetch.thumbnail import MARK
from rope.files import atomic_path
from rope.sources import abo_files, grocery
from rope.workdir import WorkFolder

if TYPE_CHECKING:
    from rope.fetch.transfer import Client

__all__ = ["OPEN_SETS", "OpenName", "OpenSet", "prepare"]

OpenName = Literal["abo", "grocery"]

_ABSENT: Final = (403, 404)
"""How a bucket answers for a file that it does not have; 403 where it may not be listed."""

_MAX_METADATA_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A dataset under an open licence.

    Attributes:
        prefix: what the addresses of its files begin with.
        terms: its licence, and whom to credit; a sentence each.
        prepare: fetches or writes what the reader has to have before there are images, and returns the expected
            thumbnails of the images as lines of a list of checksums. Takes the folder, the prefix and the limits.
    """

    prefix: str
    terms: tuple[str, ...]
    prepare: Callable[[Path, str, FetchLimits], Sequence[str]]


def prepare(
    name: OpenName, folder: Path, *, limits: FetchLimits, prefix: str | None = None, checksums: Path | None = None
) -> tuple[str, Path]:
    """Make a folder ready for `rope.fetch.fetch.fetch_images` of a dataset by name: it is the release, and the target.

    What is there already is kept.

    Args:
        name: of the dataset.
        folder: where its files go, under the paths that they have at their authors'.
        limits: of the transfer.
        prefix: what addresses begin with; None for where the authors publish the dataset.
        checksums: hashes of files; they go before what is known of the pictures.

    Returns:
        The prefix, and a list of checksums.

    Raises:
        UsageError: the folder holds something else, the prefix is wrong, the list does not exist, or aiohttp is not
            installed.
        ReleaseError: a file of metadata could not be fetched.
    """
    chosen = OPEN_SETS[name]
    prefix = chosen.prefix if prefix is None else prefix
    check_prefix(prefix)
    if checksums is not None and not checksums.is_file():
        raise UsageError(f"{checksums}: no such file; expected a list of checksums")
    with _work(name, folder).claimed():
        lines = chosen.prepare(folder, prefix, limits)
        own = checksums.read_text("utf-8").splitlines() if checksums is not None else []
        expected = folder / STATE_NAME / "expected.txt"
        with atomic_path(expected) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in (*own, *lines)), "utf-8")
    return prefix, expected


def _work(name: OpenName, folder: Path) -> WorkFolder:
    """The folder of a dataset, so that no two are mixed in one; its note stays."""
    return WorkFolder(
        folder,
        f"{STATE_NAME}/open.txt",
        f"{name}\n",
        "an open dataset",
        lambda there: "" if there.strip() == name else f"it is {there.strip()!r} there and {name!r} now",
        frozenset({STATE_NAME}),
    )


def _prepare_grocery(folder: Path, prefix: str, limits: FetchLimits) -> Sequence[str]:
    for name in grocery.FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "LICENSE").write_bytes((files("rope.sources") / "grocery.LICENSE.txt").read_bytes())
    return [f"{MARK}{picture.thumbnail}  {picture.path}" for picture in grocery.pictures()]


def _prepare_abo(folder: Path, prefix: str, limits: FetchLimits) -> Sequence[str]:
    """Fetch the metadata; the files of listings that are not there are left to the reader to report."""
    listings = [f"{abo_files.LISTINGS}/listings_{digit}.json.gz" for digit in "0123456789abcdef"]
    wanted = [*listings, abo_files.IMAGES, abo_files.SPINS, abo_files.BENCHMARK, abo_files.LICENCE]
    vital = (abo_files.IMAGES, abo_files.SPINS)
    lost = _fetch_files(folder, wanted, prefix, limits)
    if fatal := [one for one in lost if one.image in vital or one.status not in _ABSENT]:
        one = fatal[0]
        raise ReleaseError(
            f"{one.url}: {one.reason} ({one.detail}); {len(fatal)} of {len(wanted)} files of metadata could not be "
            "fetched; repeat the command to go on"
        )
    return []


def _fetch_files(folder: Path, names: Sequence[str], prefix: str, limits: FetchLimits) -> list[LostImage]:
    """Fetch files that are not images and not there yet; returns those given up."""
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return []
    with needed_by("fetching", "fetch"):
        from rope.fetch.transfer import Client
    large = replace(limits, max_bytes=max(limits.max_bytes, _MAX_METADATA_BYTES))
    return asyncio.run(_fetch_all(Client(prefix, large), folder, missing))


async def _fetch_all(client: "Client", folder: Path, names: Sequence[str]) -> list[LostImage]:
    async with client:
        await client.check_prefix()

        async def fetch(name: str) -> LostImage | None:
            outcome = await client.fetch(FetchJob(name, name, kind="file"))
            if isinstance(outcome, LostImage):
                return outcome
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(outcome.read())
            return None

        outcomes = await asyncio.gather(*(fetch(name) for name in names))
    return [outcome for outcome in outcomes if outcome is not None]


OPEN_SETS: Final[dict[OpenName, OpenSet]] = {
    "abo": OpenSet(
        prefix="https://amazon-berkeley-objects.s3.us-east-1.amazonaws.com/",
        terms=(
            "Amazon Berkeley Objects: licence CC BY 4.0, by the file LICENSE-CC-BY-4.0.txt next to the data; older "
            "copies of its README say CC BY-NC 4.0, so read the licence that comes with your copy.",
            "Credit: data by Amazon.com; Collins et al., ABO: Dataset and Benchmarks for Real-World 3D Object "
            "Understanding, CVPR 2022; dataset, archives and benchmark by Matthieu Guillaumin, Thomas Dideriksen, "
            "Kenan Deng, Himanshu Arora, Jasmine Collins and Jitendra Malik.",
            "The real files have not been seen by the authors of this reader; what differs from their description is "
            "named in faults.tsv.",
        ),
        prepare=_prepare_abo,
    ),
    "grocery": OpenSet(
        prefix=f"https://raw.githubusercontent.com/marcusklasson/GroceryStoreDataset/{grocery.COMMIT}/",
        terms=(
            "Grocery Store Dataset: MIT licence, copyright (c) 2019 Marcus Klasson; its text is in LICENSE. The shop "
            "images and descriptions in it come from Swedish grocers, to whom brands and packaging belong.",
            "Credit: Klasson, Zhang and Kjellström, A Hierarchical Grocery Store Image Dataset with Visual and "
            "Semantic Labels, WACV 2019.",
        ),
        prepare=_prepare_grocery,
    ),
}
"""Name -> dataset."""
