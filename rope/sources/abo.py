"""Amazon Berkeley Objects: catalogue photographs as pages, turntable sequences as videos.

The folder has the paths of the public bucket: `listings/metadata/listings_?.json.gz`, `images/metadata/images.csv.gz`,
`images/small/` or `images/original/`, `spins/metadata/spins.csv.gz`, `spins/original/`, `benchmarks/abo-mvr.csv.xz`.

* A **product** is what listings with one `item_id`, one `spin_id` or one `main_image_id` have in common; it is called
  as the first of its items. Products without a turntable sequence are not read.
* A **page** is a photograph; its text is a title of a listing that shows it. A photograph of several products, such as
  a table of sizes, is left out.
* A **video** is a turntable sequence of up to 24 frames; it has no text.
* **Related** products, which share a photograph or a `group_id` of the benchmark, are in one split. A photograph of
  more than `_BOILERPLATE` products relates none.

The format `abo` draws the split by a hash of related products; `abo-mvr` takes that of the benchmark, and only what it
names.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from rope.domain import SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.abo_files import BENCHMARK, IMAGES, LISTINGS, SPINS, Listing, Marked, Metadata, listing_files
from rope.sources.faults import ReleaseFault
from rope.sources.reading import listing_hash
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging

__all__ = ["find_benchmark", "find_release", "looks_like"]

_BOILERPLATE: Final = 10
_VALIDATION_SHARE: Final = 0.2
_FIRST_FILE: Final = f"{LISTINGS}/listings_0.json.gz"


def looks_like(folder: Path) -> bool:
    """Whether a folder has listings under the paths of the bucket."""
    return bool(listing_files(folder))


def find_release(folder: Path, encoding: str | None = None, *, official: bool = False) -> ReleaseSource:
    """Look whether a folder has the metadata.

    Args:
        folder: with the paths of the bucket.
        encoding: means nothing: the files are UTF-8.
        official: whether the split is that of the benchmark.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: a file is missing that nothing can be read without.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one with the paths of Amazon Berkeley Objects")
    listings = listing_files(folder) or (_FIRST_FILE,)
    names = (*listings, IMAGES, SPINS, *((BENCHMARK,) if official or (folder / BENCHMARK).is_file() else ()))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ReleaseError(f"{folder}: lacks {', '.join(missing)}; get it with rope fetch --open abo --out {folder}")
    size = "original" if (folder / "images/original").is_dir() and not (folder / "images/small").is_dir() else "small"
    kind = "abo-mvr" if official else "abo"
    return ReleaseSource(
        kind=kind,
        name=kind,
        folder=folder,
        files=names,
        splits=SPLITS,
        domains=("page", "video"),
        image_root=folder,
        stage=partial(_stage, folder=folder, size=size, official=official),
        file_of=_file_of,
        listings={"images": listing_hash([size])},
    )


find_benchmark: Final = partial(find_release, official=True)
"""`find_release` with the split of the benchmark."""


def _file_of(split: Split, domain: DomainName) -> str:
    return SPINS if domain == "video" else LISTINGS


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    size: str,
    official: bool,
) -> dict[str, str]:
    staging = Staging(connection)
    metadata = Metadata(folder, advance, staging.add)
    metadata.check_licence()
    catalogue = _Catalogue.of(metadata.listings())
    splits = _splits(catalogue, metadata.marked(), official, staging)
    _add_pages(staging, catalogue, splits, metadata, size)
    _add_spins(staging, catalogue, splits, metadata)
    staging.finish(SPLITS, n_rows=metadata.n_rows)
    return metadata.digests


class _Sets:
    """Disjoint sets of names; two that have something in common become one."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def first(self, name: str) -> str:
        """The first name, by code point, of the set that a name is in."""
        while (parent := self._parents.setdefault(name, name)) != name:
            self._parents[name] = name = self._parents[parent]
        return name

    def join(self, names: Iterable[str]) -> None:
        roots = sorted({self.first(name) for name in names})
        for root in roots[1:]:
            self._parents[root] = roots[0]


@dataclass(slots=True)
class _Catalogue:
    """Products with a turntable sequence.

    Attributes:
        shown: photograph -> the listings that show it.
        products_of: photograph -> the products that it shows, in order.
        spins: turntable sequence -> its product, and the first listing that has it.
    """

    shown: dict[str, list[Listing]] = field(default_factory=lambda: defaultdict(list))
    products_of: dict[str, list[str]] = field(default_factory=dict)
    spins: dict[str, tuple[str, Listing]] = field(default_factory=dict)

    @classmethod
    def of(cls, listings: Iterable[Listing]) -> "_Catalogue":
        items, everything = _Sets(), list(listings)
        for key in ("spin_id", "main_image"):
            sharing = defaultdict[str, list[str]](list)
            for listing in everything:
                if value := getattr(listing, key):
                    sharing[value].append(listing.item_id)
            for names in sharing.values():
                items.join(names)
        turned = {items.first(listing.item_id) for listing in everything if listing.spin_id}
        found = cls()
        for listing in everything:
            product_id = items.first(listing.item_id)
            if product_id not in turned:
                continue
            for image in listing.images:
                found.shown[image].append(listing)
            if listing.spin_id:
                found.spins.setdefault(listing.spin_id, (product_id, listing))
        found.products_of = {
            image: sorted({items.first(listing.item_id) for listing in showing})
            for image, showing in found.shown.items()
        }
        return found


def _splits(catalogue: _Catalogue, marked: Mapping[str, Marked], official: bool, staging: Staging) -> dict[str, Split]:
    """Product -> its split, the same for related ones; without those that the benchmark does not name, if official."""
    related, groups = _Sets(), defaultdict[str, set[str]](set)
    for products in catalogue.products_of.values():
        if len(products) <= _BOILERPLATE:
            related.join(products)
    named = [
        (product_id, marked[image])
        for image, products in catalogue.products_of.items()
        if image in marked and len(products) <= _BOILERPLATE
        for product_id in products
    ]
    for product_id, mark in named:
        groups[mark.group_id].add(product_id)
    for products_of_group in groups.values():
        related.join(products_of_group)
    sides = defaultdict[str, set[bool]](set)
    for product_id, mark in named:
        sides[related.first(product_id)].add(mark.is_test)
    if official:
        for family in sorted(name for name, found in sides.items() if len(found) > 1):
            staging.add(ReleaseFault(BENCHMARK, 0, "family_in_both_splits", family))
    in_benchmark = {product_id for product_id, _ in named}
    splits: dict[str, Split] = {}
    for product_id in {product_id for product_id, _ in catalogue.spins.values()}:
        family = related.first(product_id)
        if not official:
            splits[product_id] = _drawn(family)
        elif product_id in in_benchmark:
            splits[product_id] = "validation" if True in sides[family] else "train"
    return splits


def _drawn(family: str) -> Split:
    share = int.from_bytes(hashlib.sha256(f"abo {family}".encode()).digest()[:4], "big") / 2**32
    return "validation" if share < _VALIDATION_SHARE else "train"


def _add_pages(
    staging: Staging, catalogue: _Catalogue, splits: Mapping[str, Split], metadata: Metadata, size: str
) -> None:
    paths = metadata.image_paths(set(catalogue.shown))
    for image, showing in catalogue.shown.items():
        products, listing = catalogue.products_of[image], showing[0]
        if not any(product_id in splits for product_id in products):
            continue
        if len(products) > 1 or image not in paths:
            kind = "shared_image" if len(products) > 1 else "unknown_image"
            staging.add(ReleaseFault(listing.file, listing.line, kind, image))
            continue
        best = min(
            (one for one in showing if one.title is not None),
            key=lambda one: (one.title, one.domain_name, one.item_id),
            default=listing,
        )
        if best.title is None:
            staging.add(ReleaseFault(best.file, best.line, "no_text", image))
        text = None if best.title is None else best.title[2]
        at = (best.file, best.line, splits[products[0]], "page", image)
        staging.add(SampleRow(*at, products[0], text, best.category))
        staging.add(FrameRow(*at, 0, f"images/{size}/{paths[image]}"))


def _add_spins(staging: Staging, catalogue: _Catalogue, splits: Mapping[str, Split], metadata: Metadata) -> None:
    wanted = {spin_id: found for spin_id, found in catalogue.spins.items() if found[0] in splits}
    frames = metadata.spin_frames(set(wanted))
    for spin_id, (product_id, listing) in wanted.items():
        if spin_id not in frames:
            staging.add(ReleaseFault(listing.file, listing.line, "unknown_spin", spin_id))
            continue
        split = splits[product_id]
        staging.add(SampleRow(listing.file, listing.line, split, "video", spin_id, product_id, None, listing.category))
        for line, azimuth, path in frames[spin_id]:
            staging.add(FrameRow(SPINS, line, split, "video", spin_id, azimuth, f"spins/original/{path}"))
