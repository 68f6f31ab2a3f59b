"""The metadata files of Amazon Berkeley Objects: listings, images, spins, and the split of its benchmark.

What has another form than published is reported as a fault, and the rest is read.
"""

import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rope.errors import ReleaseError
from rope.sources.faults import ReleaseFault
from rope.sources.reading import is_inside

__all__ = [
    "BENCHMARK",
    "IMAGES",
    "LICENCE",
    "LISTINGS",
    "SPINS",
    "Listing",
    "Marked",
    "Metadata",
    "Title",
    "listing_files",
]

LISTINGS: Final = "listings/metadata"
"""Folder of the listings, a file for each hexadecimal digit."""

IMAGES: Final = "images/metadata/images.csv.gz"
SPINS: Final = "spins/metadata/spins.csv.gz"
LICENCE: Final = "LICENSE-CC-BY-4.0.txt"
BENCHMARK: Final = "benchmarks/abo-mvr.csv.xz"

_N_LISTING_FILES: Final = 16
_N_ANGLES: Final = 72
_STEP: Final = 3
"""Every third angle of a spin is read: 24 frames of 72, and all of a spin of 24."""

_HALVES: Final = re.compile("[\ud800-\udfff]")

Title = tuple[int, str, str]
"""How well its language suits, the language tag, and the title: the smallest is the text."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A product as one marketplace lists it.

    Attributes:
        file: name of the file.
        line: line in it, from 1.
        item_id: the same in all marketplaces.
        domain_name: the marketplace.
        title: the best of its titles; None without one.
        category: its product type.
        main_image: the id of the first photograph; None without one.
        images: ids of all photographs, the first one first.
        spin_id: its turntable sequence; None without one.
    """

    file: str
    line: int
    item_id: str
    domain_name: str
    title: Title | None
    category: str | None
    main_image: str | None
    images: tuple[str, ...]
    spin_id: str | None


@dataclass(frozen=True, slots=True)
class Marked:
    """What the benchmark says of an image."""

    group_id: str
    is_test: bool


def listing_files(folder: Path) -> tuple[str, ...]:
    """The files of listings in a folder, relative to it and by name."""
    found = (folder / LISTINGS).glob("listings_*.json.gz")
    return tuple(sorted(path.relative_to(folder).as_posix() for path in found))


@dataclass(slots=True)
class Metadata:
    """Reads the files of a folder.

    Attributes:
        folder: of the release.
        advance: called with the number of bytes read.
        report: takes every fault.
        digests: the SHA-256 of each file that was read.
        n_rows: the lines of each file that are not blank.
    """

    folder: Path
    advance: Callable[[int], None]
    report: Callable[[ReleaseFault], None]
    digests: dict[str, str] = field(default_factory=dict)
    n_rows: Counter[str] = field(default_factory=Counter)

    def listings(self) -> Iterator[Listing]:
        """Every listing once, by file and line."""
        names, seen = listing_files(self.folder), set[tuple[str, str]]()
        if len(names) != _N_LISTING_FILES:
            subject = f"{len(names)} files of listings, {_N_LISTING_FILES} published"
            self.report(ReleaseFault(LISTINGS, 0, "other_form", subject))
        for name in names:
            for line, raw in enumerate(self._content(name).split(b"\n"), start=1):
                if not raw.strip():
                    continue
                self.n_rows[name] += 1
                listing = self._listing(name, line, raw)
                if listing is None:
                    continue
                key = (listing.item_id, listing.domain_name)
                if key in seen:
                    self.report(ReleaseFault(name, line, "repeated_row", ", ".join(key)))
                else:
                    seen.add(key)
                    yield listing

    def image_paths(self, wanted: set[str]) -> dict[str, str]:
        """Image id -> its path, for those that are wanted and there."""
        found: dict[str, str] = {}
        for line, row in self._rows(IMAGES, ("image_id", "path")):
            image_id, path = row["image_id"], row["path"]
            if image_id in wanted and self._may_take(IMAGES, line, path) and found.setdefault(image_id, path) != path:
                self.report(ReleaseFault(IMAGES, line, "frame_conflict", image_id))
                wanted = wanted - {image_id}
                del found[image_id]
        return found

    def spin_frames(self, wanted: set[str]) -> dict[str, list[tuple[int, int, str]]]:
        """Spin id -> line, azimuth in steps of 5 degrees, and path of every third angle, for those that are wanted."""
        found: dict[str, list[tuple[int, int, str]]] = {}
        counts: dict[str, int] = {}
        for line, row in self._rows(SPINS, ("spin_id", "azimuth", "path")):
            spin_id, azimuth, path = row["spin_id"], row["azimuth"], row["path"]
            if spin_id not in wanted:
                continue
            counts[spin_id] = counts.get(spin_id, 0) + 1
            if not (re.fullmatch("[0-9]{1,2}", azimuth) and int(azimuth) < _N_ANGLES):
                self.report(ReleaseFault(SPINS, line, "bad_number", f"{spin_id}, {azimuth}"))
            elif int(azimuth) % _STEP == 0 and self._may_take(SPINS, line, path):
                found.setdefault(spin_id, []).append((line, int(azimuth), path))
        for spin_id, count in counts.items():
            if count not in (_N_ANGLES, _N_ANGLES // _STEP):
                self.report(ReleaseFault(SPINS, 0, "other_form", f"{spin_id}: {count} images, 24 or 72 published"))
        return found

    def marked(self) -> dict[str, Marked]:
        """Image id -> what the benchmark says of it; empty, and a fault, without its file."""
        found: dict[str, Marked] = {}
        if not (self.folder / BENCHMARK).is_file():
            self.report(ReleaseFault(BENCHMARK, 0, "other_form", "no such file; related products are not known"))
            return found
        for line, row in self._rows(BENCHMARK, ("split_set", "group_id", "image_id")):
            side = row["split_set"].partition("-")[0]
            if side not in ("train", "val", "test"):
                self.report(ReleaseFault(BENCHMARK, line, "bad_row", f"{row['image_id']}, {row['split_set']}"))
                continue
            known = found.get(row["image_id"])
            found[row["image_id"]] = Marked(row["group_id"], side == "test" or (known is not None and known.is_test))
        return found

    def check_licence(self) -> None:
        """Report where the licence next to the data is not the one that a card names."""
        texts = [path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("LICENSE*"))]
        if not texts:
            self.report(ReleaseFault(LICENCE, 0, "other_form", "no such file; see that CC BY 4.0 holds for this copy"))
        elif any(re.search("non-?commercial", text, re.IGNORECASE) for text in texts):
            self.report(
                ReleaseFault(LICENCE, 0, "other_form", "speaks of non-commercial use, which CC BY 4.0 does not")
            )

    def _listing(self, name: str, line: int, raw: bytes) -> Listing | None:
        try:
            entry = json.loads(raw.decode())
        except UnicodeDecodeError:
            self.report(ReleaseFault(name, line, "bad_encoding", ""))
            return None
        except (ValueError, RecursionError):
            entry = None
        item_id, domain_name = (_text(entry.get(key)) for key in ("item_id", "domain_name")) if _is(entry) else ("", "")
        if not item_id or not domain_name:
            self.report(ReleaseFault(name, line, "bad_row", f"{item_id}, {domain_name}"))
            return None
        known = ("item_name", "product_type", "main_image_id", "other_image_id", "spin_id")
        for key in known:
            if entry.get(key) is not None and not _FORMS[key](entry[key]):
                self.report(ReleaseFault(name, line, "other_form", f"{key} of {item_id}, {domain_name}"))
                entry[key] = None
        main = entry.get("main_image_id")
        others = entry.get("other_image_id") or []
        return Listing(
            file=name,
            line=line,
            item_id=item_id,
            domain_name=domain_name,
            title=_best_title(entry.get("item_name") or []),
            category=_category(entry.get("product_type")),
            main_image=main,
            images=tuple(dict.fromkeys([main, *others] if main else others)),
            spin_id=entry.get("spin_id"),
        )

    def _may_take(self, name: str, line: int, path: str) -> bool:
        inside = is_inside(path)
        if not inside:
            self.report(ReleaseFault(name, line, "bad_image_name", path))
        return inside

    def _rows(self, name: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a CSV file with the line where each ends; those that lack one of the columns are faults."""
        try:
            text = self._content(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ReleaseError(f"{self.folder / name}: is not UTF-8 ({error}); fetch it again") from error
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise ReleaseError(
                f"{self.folder / name}: columns are {', '.join(reader.fieldnames or ()) or 'none'}; expected "
                f"{', '.join(missing)} too"
            )
        try:
            for row in reader:
                self.n_rows[name] += 1
                if all(row[column] for column in columns):
                    yield reader.line_num, row
                else:
                    subject = ", ".join(row[column] or "" for column in columns)
                    self.report(ReleaseFault(name, reader.line_num, "bad_row", subject))
        except csv.Error as error:
            raise ReleaseError(f"{self.folder / name}:{reader.line_num}: cannot be read as CSV ({error})") from error

    def _content(self, name: str) -> bytes:
        path = self.folder / name
        content = path.read_bytes()
        self.advance(len(content))
        self.digests[name] = hashlib.sha256(content).hexdigest()
        try:
            return lzma.decompress(content) if name.endswith(".xz") else gzip.decompress(content)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ReleaseError(f"{path}: cannot be unpacked ({error}); delete it and fetch it again") from error


def _is(entry: object) -> bool:
    return isinstance(entry, dict)


def _text(value: object) -> str:
    """A string without blanks around it; empty for what is none, or has half of a pair of surrogates in it."""
    return value.strip() if isinstance(value, str) and not _HALVES.search(value) else ""


def _is_id(value: object) -> bool:
    return bool(_text(value))


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_id, value))


def _are_values(value: object) -> bool:
    return isinstance(value, list) and all(_is(one) and isinstance(one.get("value"), str) for one in value)


_FORMS: Final[dict[str, Callable[[Any], bool]]] = {
    "item_name": _are_values,
    "product_type": lambda value: isinstance(value, str) or _are_values(value),
    "main_image_id": _is_id,
    "other_image_id": _are_ids,
    "spin_id": _is_id,
}
"""Key of a listing -> whether its value has one of the forms that are known."""


def _best_title(names: list[dict[str, Any]]) -> Title | None:
    """English of the United States, else other English, else the first language by its tag."""
    titles = []
    for name in names:
        tag, text = _text(name.get("language_tag")), _text(name["value"])
        if text:
            rank = 0 if tag == "en_US" else 1 if tag.partition("_")[0] == "en" else 2
            titles.append((rank, tag, text))
    return min(titles, key=lambda title: title[:2], default=None)


def _category(value: str | list[dict[str, Any]] | None) -> str | None:
    if isinstance(value, list):
        value = value[0]["value"] if value else None
    return _text(value) or None
