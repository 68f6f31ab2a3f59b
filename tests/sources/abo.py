"""Amazon Berkeley Objects in small: the published layout, filled with made listings."""

import csv
import gzip
import io
import json
import lzma
from collections.abc import Iterable
from pathlib import Path

from tests.sources.other_releases import write_image

IMAGE_HEADER = ("image_id", "height", "width", "path")
SPIN_HEADER = ("spin_id", "azimuth", "image_id", "height", "width", "path")
MVR_HEADER = ("split_set", "class_id", "group_id", "image_id", "image_type", "path")


def listing(
    item: str, *, domain: str = "amazon.com", spin: str | None = None, images: Iterable[str] = (), **more
) -> dict:
    """A listing with a title in English; the first image is the main one."""
    main, *others = [*images] or [None]
    entry = {
        "item_id": item,
        "domain_name": domain,
        "item_name": [{"language_tag": "en_US", "value": f"title of {item}"}],
        "brand": [{"language_tag": "en_US", "value": "Rivet"}],
        "product_type": [{"value": "CHAIR"}],
        "node": [{"node_id": 1, "node_name": "/Chairs"}],
        "main_image_id": main,
        "other_image_id": others,
        "spin_id": spin,
    }
    return {key: value for key, value in (entry | more).items() if value not in (None, [])}


def csv_bytes(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([header, *rows])
    return buffer.getvalue().encode()


def spin_rows(spin: str, azimuths: Iterable[int] = range(0, 72, 3)) -> list[tuple]:
    return [(spin, azimuth, f"{spin}i{azimuth}", 8, 8, f"ab/{spin}_{azimuth:02}.jpg") for azimuth in azimuths]


def image_rows(*images: str) -> list[tuple]:
    return [(image, 8, 8, f"{image[:2]}/{image}.jpg") for image in images]


def write_metadata(
    folder: Path,
    listings: Iterable[dict | bytes],
    *,
    images: Iterable[tuple] | None = None,
    spins: Iterable[tuple] | None = None,
    benchmark: Iterable[tuple] | None = (),
) -> Path:
    """Write all 16 files of listings, the lists and the benchmark; each image and spin of a listing is in the lists."""
    listings = list(listings)
    entries = [one for one in listings if isinstance(one, dict)]
    if images is None:
        found = [
            image for one in entries for image in (one.get("main_image_id"), *one.get("other_image_id", ())) if image
        ]
        images = image_rows(*dict.fromkeys(found))
    if spins is None:
        spins = [
            row
            for spin in dict.fromkeys(one["spin_id"] for one in entries if "spin_id" in one)
            for row in spin_rows(spin)
        ]
    lines = [one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode() for one in listings]
    for i, digit in enumerate("0123456789abcdef"):
        put(folder / f"listings/metadata/listings_{digit}.json.gz", b"".join(line + b"\n" for line in lines[i::16]))
    (folder / "LICENSE-CC-BY-4.0.txt").write_text("Creative Commons Attribution 4.0 International")
    put(folder / "images/metadata/images.csv.gz", csv_bytes(IMAGE_HEADER, images))
    put(folder / "spins/metadata/spins.csv.gz", csv_bytes(SPIN_HEADER, spins))
    if benchmark is not None:
        path = folder / "benchmarks/abo-mvr.csv.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(csv_bytes(MVR_HEADER, benchmark)))
    return folder


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0))


def write_abo(folder: Path, benchmark: Iterable[tuple] = ()) -> Path:
    """Six chairs with two photographs and a spin each, and the files of all of them; both splits have some."""
    listings = [listing(f"B{i}", spin=f"s{i}", images=(f"5{i}main", f"5{i}side")) for i in range(6)]
    write_metadata(folder, listings, benchmark=benchmark)
    for one in listings:
        for image in (one["main_image_id"], *one["other_image_id"]):
            write_image(folder / "images/small" / image[:2] / f"{image}.jpg")
        for azimuth in range(0, 72, 3):
            write_image(folder / "spins/original/ab" / f"{one['spin_id']}_{azimuth:02}.jpg")
    return folder
