"""Write a synthetic release: three text files a split and domain in the official layout, images, and some MP4."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from rope.domain import DOMAINS, DomainName, in_order
from rope.errors import UsageError
from rope.files import sha256_of
from rope.query import as_json_line
from rope.schema import EMPTY_TEXT
from rope.synthetic.catalogue import Product, check_request, plan_catalogue
from rope.synthetic.folder import new_folder
from rope.synthetic.mp4 import FRAMES_PER_SECOND, require_av
from rope.synthetic.queries import plant_queries
from rope.synthetic.samples import DRAWN_DOMAINS, DrawnSample, ProductTask, draw_ids, draw_product, plan_tasks
from rope.synthetic.scenes import VIDEO_SIZE
from rope.synthetic.seeds import Stream, generator
from rope.synthetic.workers import map_in_order

__all__ = ["VALIDATION_SHARE", "Placed", "place", "write_release"]

Prefix = Literal["training", "test"]
"""How the official layout names the splits `train` and `validation`."""

_PAIR_FILE: Final[dict[DomainName, str]] = {
    "page": "product_pages_pair",
    "video": "product_videos_pair",
    "live": "product_lives_pair",
    "review": "product_reviews_pair",
}
_TEXT_FILE: Final[dict[DomainName, str]] = {
    "page": "page_titles",
    "video": "video_asrs",
    "live": "live_asrs",
    "review": "review_texts",
}
_IMAGE_FILE: Final[dict[DomainName, str]] = {
    "page": "page_images",
    "video": "video_frames",
    "live": "live_clips",
    "review": "review_images",
}

_FILES: Final = {1: "three", 2: "six", 3: "nine", 4: "twelve"}
"""Number of domains -> text files of a split."""

VALIDATION_SHARE: Final = 0.3
"""Share of the products in the split `test`, unless another is given."""

_MP4_SHARE: Final = 0.1
_QUIRK_SHARE: Final = 0.02
"""Share of rows with a blank too many, as some have in the official release."""

_README: Final = """\
A synthetic release of drawn products, in the file layout of the ROPE release
=============================================================================

{n_products} products, seed {seed}, made by rope-bench. Nothing in it is real: products, rooms, hands and
presenters are drawn, titles and speech are filled-in templates, and the brands are invented.

It is for trying and testing tools: reading, building, loading, scoring. It is not for ranking
models: a score on it says nothing about real products, and the speech was never spoken.
It holds nothing of the ROPE dataset.

training_*.txt, test_*.txt  {n_files} files each; docs/synthetic.md of rope-bench describes their rows
images/                     the pictures that they name
products.tsv                product_id, category, split, lookalike_group; the products of a group
                            are made to be mistaken for each other
videos/, videos/index.tsv   some of the videos as H.264, where the set was made with MP4; frame i of
                            a file is the picture with frame number 30 * i
"""


_README_QUERIES: Final = """\
queries.jsonl               search queries of the products in test_*.txt, for `rope queries`
"""


@dataclass(frozen=True, slots=True)
class Placed:
    """A product with its place in the release."""

    product: Product
    product_id: str
    prefix: Prefix


def write_release(
    out: Path,
    *,
    products: int,
    seed: int,
    validation_share: float = VALIDATION_SHARE,
    domains: Sequence[DomainName] = DOMAINS,
    mp4: bool = True,
    queries: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Write a synthetic release, whole or not at all.

    The bytes follow from the arguments, whatever the number of workers, as long as the versions of numpy, Pillow and
    PyAV and of the codecs inside them stay the same. At most one group of look-alikes is divided by the split.

    Args:
        out: a folder that does not exist yet, or is empty.
        products: how many products, at least 2; each has 2 to 5 pages, 2 to 4 videos and 1 to 3 live clips, and one in
            twenty has twice as many.
        seed: 0 or more.
        validation_share: share of the products in the split `test`; between 0 and 1, at least one product on each side.
        domains: those to draw, of `rope.synthetic.samples.DRAWN_DOMAINS`, in any order. A product has 1 to 4 reviews.
            The files of a domain do not depend on which others are drawn.
        mp4: write about a tenth of the videos as MP4 too, which needs PyAV; where there are no videos, nothing.
        queries: plant search queries of the split `test` too, in `queries.jsonl`; no other file but the README changes.
        workers: processes; None takes one for each core.
        progress: show a bar on stderr.

    Raises:
        UsageError: `out` is not empty, a number is out of range, a domain cannot be drawn, or PyAV is missing.
    """
    check_request(products, seed)
    if not 0 < validation_share < 1:
        raise UsageError(f"validation_share is {validation_share}; expected more than 0 and less than 1")
    wanted = _check_domains(domains)
    mp4 = mp4 and "video" in wanted
    if mp4:
        require_av()
    with new_folder(out) as folder:
        catalogue = plan_catalogue(products, seed)
        placed = place(catalogue, seed, validation_share)
        tasks = plan_tasks(folder, catalogue, seed, _MP4_SHARE if mp4 else 0.0, wanted)
        drawn = map_in_order(draw_product, tasks, workers=workers, progress=progress, description="drawing")
        tables = _tables(placed, drawn, wanted)
        for file_number, name in enumerate(_file_names()):
            if name in tables:
                _write_shuffled(folder / f"{name}.txt", tables[name], generator(seed, Stream.ROWS, file_number))
        _write_products(folder / "products.tsv", placed)
        if mp4:
            _write_video_index(folder, placed, tasks, drawn)
        readme = _README.format(n_products=products, seed=seed, n_files=_FILES[len(wanted)])
        if queries:
            tested = [
                (one.product, samples) for one, samples in zip(placed, drawn, strict=True) if one.prefix == "test"
            ]
            _write_rows(folder / "queries.jsonl", [as_json_line(query) for query in plant_queries(tested, seed)])
            readme += _README_QUERIES
        (folder / "README.txt").write_bytes(readme.encode())


def place(products: Sequence[Product], seed: int, validation_share: float) -> list[Placed]:
    """Give each product an id and a split; families stay together, except for one where the numbers ask for it."""
    rng = generator(seed, Stream.SPLIT)
    n_test = min(max(round(len(products) * validation_share), 1), len(products) - 1)
    order = rng.permutation(products[-1].family + 1).tolist()
    by_family = sorted(products, key=lambda product: (order[product.family], product.index))
    test = {product.index for product in by_family[:n_test]}
    ids = draw_ids(rng, len(products))
    return [Placed(p, i, "test" if p.index in test else "training") for p, i in zip(products, ids, strict=True)]


def _check_domains(domains: Sequence[DomainName]) -> tuple[DomainName, ...]:
    """The domains in order."""
    strange = [domain for domain in domains if domain not in DRAWN_DOMAINS]
    if strange or not domains:
        what = f"{strange[0]!r} cannot be drawn" if strange else "none is named"
        raise UsageError(f"domains: {what}; expected some of {', '.join(DRAWN_DOMAINS)}")
    return in_order(domains)


def _file_names() -> list[str]:
    """The text files that there can be, without `.txt`: those of the official release first."""
    return [
        f"{prefix}_{names[domain]}"
        for domains in (DOMAINS, DRAWN_DOMAINS[len(DOMAINS) :])
        for prefix in get_args(Prefix)
        for names in (_PAIR_FILE, _TEXT_FILE, _IMAGE_FILE)
        for domain in domains
    ]


def _tables(
    placed: Sequence[Placed], drawn: Sequence[Sequence[DrawnSample]], domains: Sequence[DomainName]
) -> dict[str, list[str]]:
    """The rows of each text file, by name without `.txt`."""
    tables: dict[str, list[str]] = {
        f"{prefix}_{names[domain]}": []
        for prefix in get_args(Prefix)
        for names in (_PAIR_FILE, _TEXT_FILE, _IMAGE_FILE)
        for domain in domains
    }
    for place, samples in zip(placed, drawn, strict=True):
        for sample in samples:
            tables[f"{place.prefix}_{_PAIR_FILE[sample.domain]}"].append(f"{place.product_id}, {sample.sample_id}")
            tables[f"{place.prefix}_{_TEXT_FILE[sample.domain]}"].append(
                f"{sample.sample_id}, {sample.text or EMPTY_TEXT}"
            )
            tables[f"{place.prefix}_{_IMAGE_FILE[sample.domain]}"] += _image_rows(sample)
    return tables


def _image_rows(sample: DrawnSample) -> list[str]:
    if sample.domain == "page":
        return [f"{sample.sample_id}, {sample.images[0]}"]
    return [f"{sample.sample_id}, {time}, {image}" for time, image in zip(sample.times, sample.images, strict=True)]


def _write_shuffled(path: Path, rows: Sequence[str], rng: np.random.Generator) -> None:
    order = rng.permutation(len(rows)).tolist()
    odd = rng.random(len(rows)) < _QUIRK_SHARE
    _write_rows(path, [_with_quirk(rows[i]) if odd[i] else rows[i] for i in order])


def _with_quirk(row: str) -> str:
    """A blank at the end of a row that names an image, a second one after the first comma of any other.

    >>> _with_quirk("7, a.jpg"), _with_quirk("7, a title")
    ('7, a.jpg ', '7,  a title')
    """
    return f"{row} " if row.endswith(".jpg") else row.replace(", ", ",  ", 1)


def _write_products(path: Path, placed: Sequence[Placed]) -> None:
    members = Counter(place.product.family for place in placed)
    rows = ["product_id\tcategory\tsplit\tlookalike_group"]
    for place in sorted(placed, key=lambda place: int(place.product_id)):
        product = place.product
        group = product.family if members[product.family] > 1 else ""
        rows.append(f"{place.product_id}\t{product.category}\t{place.prefix}\t{group}")
    _write_rows(path, rows)


def _write_video_index(
    folder: Path, placed: Sequence[Placed], tasks: Sequence[ProductTask], drawn: Sequence[Sequence[DrawnSample]]
) -> None:
    """List the MP4 files, ordered by video id."""
    rows: list[tuple[int, str]] = []
    for place, task, samples in zip(placed, tasks, drawn, strict=True):
        for sample in samples:
            if sample.domain == "video" and sample.sample_id in task.mp4_ids:
                rows.append((int(sample.sample_id), _video_row(folder, place, sample)))
    header = "video_id\tsplit\tproduct_id\tfile\tframes\tfps\twidth\theight\tbytes\tsha256"
    _write_rows(folder / "videos" / "index.tsv", [header, *(row for _, row in sorted(rows))])


def _video_row(folder: Path, place: Placed, sample: DrawnSample) -> str:
    path = folder / "videos" / f"{sample.sample_id}.mp4"
    width, height = VIDEO_SIZE
    facts = (len(sample.images), FRAMES_PER_SECOND, width, height, path.stat().st_size, sha256_of(path))
    return "\t".join(str(cell) for cell in (sample.sample_id, place.prefix, place.product_id, path.name, *facts))


def _write_rows(path: Path, rows: Sequence[str]) -> None:
    path.write_bytes("".join(f"{row}\n" for row in rows).encode())
