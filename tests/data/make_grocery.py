"""Take a small release and a small pool of real photos from larger ones of the same layout.

    python -m tests.data.make_grocery RELEASE POOL

RELEASE and POOL hold photos of the Grocery Store Dataset; `grocery/README.md` says more. The same folders give the same
bytes. Photos are copied as they are, but for those of the release, which are made smaller.
"""

import argparse
import io
import shutil
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

GROCERY = Path(__file__).with_name("grocery")
KINDS = {"pages": ("page_titles", "page_images"), "videos": ("video_asrs", "video_frames")}
KINDS["lives"] = ("live_asrs", "live_clips")

# Those of the test are three apples and an orange, which a floor of colours and words confuses now and then.
PRODUCTS = {
    "training": ("10001", "10002", "10003", "10004", "10005"),
    "test": ("10016", "10024", "10044", "10077"),
}
N_SAMPLES, N_FRAMES, SIDE, QUALITY = 2, 3, 112, 70
"""At most so many samples of a kind for each product, frames of a clip, pixels along an image, and its JPEG quality."""

VIDEO = "300135"
"""The video whose MP4 is kept, and its frames as they are."""

N_GROUPS, N_WRONG, N_PLAIN = 11, 4, 9
"""So many planted groups of copies, wrong titles, and photos with neither are in the pool."""

Rows = list[list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", type=Path)
    parser.add_argument("pool", type=Path)
    given = parser.parse_args()
    for name in ("release", "video", "pool"):
        shutil.rmtree(GROCERY / name, ignore_errors=True)
        (GROCERY / name).mkdir(parents=True)
    shutil.copyfile(given.release / "LICENSE", GROCERY / "LICENSE")
    release(given.release)
    video(given.release)
    pool(given.pool)


def rows_of(path: Path) -> Rows:
    return [line.split(", ") for line in path.read_text("utf-8").splitlines()]


def tabbed(path: Path) -> Rows:
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def release(source: Path) -> None:
    names = {fields[0]: fields for fields in tabbed(source / "products.tsv")}
    shop = shop_images(source)
    for prefix, products in PRODUCTS.items():
        pairs = {kind: rows_of(source / f"{prefix}_product_{kind}_pair.txt") for kind in KINDS}
        for kind, (texts, images) in KINDS.items():
            pictures = frames_of(source / f"{prefix}_{images}.txt")
            kept = kept_samples(pairs[kind], products, [s for s in pictures if not shop.intersection(*pictures[s])])
            write(f"{prefix}_product_{kind}_pair", [[product, sample] for sample, product in kept.items()])
            empty = {row[0] for row in rows_of(source / f"{prefix}_{texts}.txt") if row[1:] == ["空"]}
            write(f"{prefix}_{texts}", [[s, "空" if s in empty else text_of(kind, names[p])] for s, p in kept.items()])
            write(f"{prefix}_{images}", [[sample, *frame] for sample in kept for frame in pictures[sample][:N_FRAMES]])
            for sample in kept:
                for *_, name in pictures[sample][:N_FRAMES]:
                    shrink(source / "images" / name, GROCERY / "release" / "images" / name)


def shop_images(source: Path) -> set[str]:
    """The pictures of shops, which the authors of the dataset did not take; none of them is kept."""
    return {name for name, *_, path, _, _ in tabbed(source / "provenance.tsv") if path.startswith("iconic")}


def frames_of(path: Path) -> dict[str, Rows]:
    """Sample id -> its images in order: the name, after the number of the frame where it has one."""
    found: dict[str, Rows] = defaultdict(list)
    for sample, *frame in rows_of(path):
        found[sample].append(frame)
    for frames in found.values():
        frames.sort(key=lambda frame: int(frame[0]) if len(frame) > 1 else 0)
    return found


def kept_samples(pairs: Rows, products: tuple[str, ...], usable: list[str]) -> dict[str, str]:
    """Sample -> product: the first few of each product."""
    kept: dict[str, str] = {}
    for wanted in products:
        mine = sorted(sample for product, sample in pairs if product == wanted and sample in set(usable))
        kept |= dict.fromkeys(mine[:N_SAMPLES], wanted)
    return kept


def text_of(kind: str, product: list[str]) -> str:
    """The names of a class and those above it, a clip's without its own. The descriptions are of shops: left out."""
    _, _, _, name, coarse, department, *_ = product
    return f"{name}, {coarse}" if kind == "pages" else f"{department}, {coarse}"


def write(name: str, rows: Rows) -> None:
    lines = "".join(f"{', '.join(row)}\n" for row in rows)
    (GROCERY / "release" / f"{name}.txt").write_bytes(lines.encode())


def shrink(original: Path, copy: Path) -> None:
    copy.parent.mkdir(exist_ok=True)
    with Image.open(original) as image:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
    copy.write_bytes(buffer.getvalue())


def video(source: Path) -> None:
    shutil.copyfile(source / "videos" / f"{VIDEO}.mp4", GROCERY / "video" / "video.mp4")
    for number, name in frames_of(source / "training_video_frames.txt")[VIDEO]:
        shutil.copyfile(source / "images" / name, GROCERY / "video" / f"{int(number):04d}.jpg")


def pool(source: Path) -> None:
    answers = pq.read_table(source / "answers.parquet")
    rows = pq.read_table(source / "pool.parquet")
    kept = pa.array(sorted(kept_ids(answers.to_pylist())))
    answers, rows = (table.filter(pc.is_in(table["id"], kept)) for table in (answers, rows))
    pq.write_table(answers, GROCERY / "pool" / "answers.parquet")
    pq.write_table(rows, GROCERY / "pool" / "pool.parquet")
    (GROCERY / "pool" / "images").mkdir()
    for row in rows.to_pylist():
        shutil.copyfile(source / row["image"], GROCERY / "pool" / row["image"])


def kept_ids(answers: list[dict]) -> set[int]:
    """Whole groups of copies, two of each transform and then of several, and some photos that have no copy."""
    groups: dict[int, list[dict]] = defaultdict(list)
    single: dict[bool, list[int]] = {True: [], False: []}
    for row in sorted(answers, key=lambda row: row["id"]):
        if row["dup_group"] is None:
            single[row["is_mismatch"]].append(row["id"])
        else:
            groups[row["dup_group"]].append(row)
    alike: dict[str, list[int]] = defaultdict(list)
    for group, members in sorted(groups.items(), key=lambda item: (len(item[1]), item[0])):
        alike["+".join(sorted(row["transform"] for row in members if row["transform"]))].append(group)
    chosen = [group for several in alike.values() for group in several[:2]][:N_GROUPS]
    copies = {row["id"] for group in chosen for row in groups[group]}
    return copies | set(single[True][:N_WRONG]) | set(single[False][:N_PLAIN])


if __name__ == "__main__":
    main()
