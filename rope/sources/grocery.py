"""The Grocery Store Dataset: shop images and photographs by hand, arranged as pages, short videos and live clips.

The folder is a checkout of the authors' repository, or what `rope fetch --open grocery` makes: photographs lie in
`dataset/train`, `dataset/val` and `dataset/test`, shop images in `dataset/iconic-images-and-descriptions`. The
repository has classes and photographs, no videos and no streams. Which photograph is a page, or which frame of which
clip, and which text goes with it, says the table `grocery.tsv.gz` beside this module, once and for all: every build has
the same fingerprint, `FINGERPRINT`.
"""

import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from rope.domain import DOMAINS, SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging

__all__ = ["COMMIT", "FINGERPRINT", "FOLDERS", "Picture", "find_release", "looks_like", "pictures"]

COMMIT: Final = "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc"
"""The state of the authors' repository that the table is about."""

FINGERPRINT: Final = "86925e3a37533c5eacd7549153ea54b95d1a59c79b1bac196da0b087eb65fd6b"
"""Of a dataset that is built from all pictures of the table."""

FOLDERS: Final = ("dataset/train", "dataset/test")
"""What a folder is recognised by."""

_TABLE: Final = "grocery.tsv.gz"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the repository, and its place in the dataset.

    Attributes:
        split: of the dataset, which is by product; the repository's own split is by photograph.
        domain: page, video or live.
        product_id: a number for each of the 81 classes.
        sample_id: of the page or clip.
        time: as `frame_times` of a dataset.
        path: relative to the repository.
        thumbnail: see `rope.fetch.thumbnail`.
        category: the authors' coarse class, such as Apple for Royal Gala.
        text: of the sample; at its first picture alone.
    """

    split: Split
    domain: DomainName
    product_id: str
    sample_id: str
    time: int
    path: str
    thumbnail: str
    category: str
    text: str


def looks_like(folder: Path) -> bool:
    """Whether a folder has the two folders of photographs."""
    return all((folder / name).is_dir() for name in FOLDERS)


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Look whether a folder is the repository.

    Args:
        folder: a checkout, or what was fetched.
        encoding: means nothing: no text file of the folder is read.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it has no photographs.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a checkout of the repository GroceryStoreDataset")
    if not looks_like(folder):
        raise ReleaseError(
            f"{folder}: lacks the folders {' and '.join(FOLDERS)} of the Grocery Store Dataset; make them with "
            f"rope fetch --open grocery --out {folder}"
        )
    return ReleaseSource(
        kind="grocery",
        folder=folder,
        files=(),
        splits=SPLITS,
        domains=DOMAINS,
        image_root=folder,
        stage=_stage,
        file_of=_file_of,
        name="grocery",
        listings={_TABLE: hashlib.sha256(_content()).hexdigest()},
    )


def pictures() -> Iterator[Picture]:
    """The rows of the table: pages, videos, lives; in each by sample, then by time."""
    for row in csv.DictReader(io.StringIO(_content().decode()), delimiter="\t", quoting=csv.QUOTE_NONE):
        split = next(split for split in SPLITS if split == row["split"])
        domain = next(domain for domain in DOMAINS if domain == row["domain"])
        path = f"dataset/{row['picture']}"
        ids = row["product_id"], row["sample_id"]
        yield Picture(split, domain, *ids, int(row["time"]), path, row["thumbnail"], row["category"], row["text"])


@cache
def _content() -> bytes:
    return gzip.decompress((files("rope.sources") / _TABLE).read_bytes())


def _file_of(split: Split, domain: DomainName) -> str:
    return _TABLE


def _stage(connection: duckdb.DuckDBPyConnection, advance: Callable[[int], None]) -> dict[str, str]:
    staging, seen = Staging(connection), set[tuple[str, str]]()
    for line, picture in enumerate(pictures(), start=2):
        at = (_TABLE, line, picture.split, picture.domain, picture.sample_id)
        if (key := (picture.domain, picture.sample_id)) not in seen:
            seen.add(key)
            staging.add(SampleRow(*at, picture.product_id, picture.text, picture.category))
        staging.add(FrameRow(*at, picture.time, picture.path))
    staging.finish(SPLITS)
    return {}
