"""Product1M: product pages with titles and the labels of the products that they show.

`product1m_PART_ossurl_v2.txt` has one page a line, five fields separated by `#####`: id, title, two addresses of the
same image, and labels separated by `#;#`. The parts `dev` and `test` hold the queries of the official benchmark and
`gallery` what they are searched among; all three make the split `validation`. `train` is the split `train`.

A page may show a set of several products. Its product is the set of its labels, sorted and joined by `#;#`, so that
only pages of the same set are of one product. The official metrics, which credit parts of a set, are in
`rope.bench.product1m`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from rope.domain import SPLITS, DomainName, Split
from rope.errors import ReleaseError, UsageError
from rope.sources.faults import ReleaseFault
from rope.sources.reading import Reading, is_inside
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging
from rope.sources.text import text_files

__all__ = ["BETWEEN_FIELDS", "BETWEEN_LABELS", "find_release", "labels_of", "looks_like"]

BETWEEN_FIELDS: Final = "#####"
BETWEEN_LABELS: Final = "#;#"

_N_FIELDS: Final = 5
_PARTS_OF: Final[dict[Split, tuple[str, ...]]] = {"train": ("train",), "validation": ("dev", "test", "gallery")}


def looks_like(folder: Path) -> bool:
    """Whether a folder holds a text file of Product1M."""
    return any(_files(folder))


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Look which parts a folder has.

    Args:
        folder: where its text files are.
        encoding: of text files without a byte order mark; None for UTF-8.

    Raises:
        UsageError: the folder does not exist.
        ReleaseError: it holds no part, or some but not all of dev, test and gallery.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected the folder of a Product1M release")
    found = _files(folder)
    validation = [_name(part) for part in _PARTS_OF["validation"]]
    missing = [name for name in validation if name not in found]
    if not found or 0 < len(missing) < len(validation):
        raise ReleaseError(
            f"{folder}: {', '.join(missing)} missing; the benchmark of Product1M has the queries of dev and test, and "
            "the gallery that they are searched among"
        )
    splits = tuple(split for split in SPLITS if _name(_PARTS_OF[split][0]) in found)
    files = {split: tuple(found[_name(part)] for part in _PARTS_OF[split]) for split in splits}
    images = folder / "images"
    return ReleaseSource(
        kind="product1m",
        folder=folder,
        files=tuple(name for names in files.values() for name in names),
        splits=splits,
        domains=("page",),
        image_root=images if images.is_dir() else folder,
        stage=partial(_stage, folder=folder, files=files, encoding=encoding),
        file_of=partial(_file_of, files=files),
        encoding=encoding,
    )


def labels_of(field: str) -> list[str]:
    """The labels of a page as they stand, repetitions included.

    >>> labels_of("AHC serum#;#AHC cream#;#AHC serum")
    ['AHC serum', 'AHC cream', 'AHC serum']
    """
    return [label for label in field.split(BETWEEN_LABELS) if label]


def _name(part: str) -> str:
    return f"product1m_{part}_ossurl_v2.txt"


def _files(folder: Path) -> dict[str, str]:
    """Name of each part that is there -> the name of its file, which may be compressed."""
    found = text_files(folder)
    names = [_name(part) for split in SPLITS for part in _PARTS_OF[split]]
    return {name: found[name] for name in names if name in found}


def _file_of(split: Split, domain: DomainName, *, files: dict[Split, tuple[str, ...]]) -> str:
    return files[split][0]


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    files: dict[Split, tuple[str, ...]],
    encoding: str | None,
) -> dict[str, str]:
    staging, reading = Staging(connection), Reading(advance, encoding)
    for split, names in files.items():
        for name in names:
            for line, text in reading.lines(folder / name):
                _add_page(staging, name, line, split, text)
    staging.finish(tuple(files), n_rows=reading.n_rows)
    return reading.digests


def _add_page(staging: Staging, file: str, line: int, split: Split, text: str | None) -> None:
    fields = [field.strip() for field in text.split(BETWEEN_FIELDS)] if text is not None else []
    page_id, title, _, address, labels = fields if len(fields) == _N_FIELDS else [""] * _N_FIELDS
    image = address.rsplit("/", 1)[-1]
    if text is None or not page_id or not image:
        kind = "bad_encoding" if text is None else "bad_row"
        staging.add(ReleaseFault(file, line, kind, (text or "")[:100]))
    elif not labels_of(labels):
        staging.add(ReleaseFault(file, line, "no_product", page_id))
    elif not is_inside(image):
        staging.add(ReleaseFault(file, line, "bad_image_name", image))
    else:
        product = BETWEEN_LABELS.join(sorted(set(labels_of(labels))))
        staging.add(SampleRow(file, line, split, "page", page_id, product, title or None))
        staging.add(FrameRow(file, line, split, "page", page_id, 0, image))
