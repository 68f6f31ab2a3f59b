"""The formats of releases by name, and how to tell which one a folder has."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

import duckdb

from rope.errors import UsageError
from rope.sources import abo, grocery, lpr4m, m5product, mbeir, mmeb, movingfashion, product1m, rope_release
from rope.sources import folder as own_folder
from rope.sources.source import ReleaseSource
from rope.sources.text import check_encoding

__all__ = ["FORMATS", "Format", "find_source"]

Format = Literal[
    "rope", "product1m", "m5product", "lpr4m", "movingfashion", "grocery", "abo", "abo-mvr", "mbeir", "mmeb", "folder"
]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def find_source(folder: Path, release_format: Format | None = None, encoding: str | None = None) -> ReleaseSource:
    """Find a release in a folder.

    Args:
        folder: where its text files are.
        release_format: its format; None to tell it by the names of its files. ROPE's is taken where none fits, so that
            the error says what a ROPE release has.
        encoding: of text files without a byte order mark, as Python calls it; None for UTF-8.

    Raises:
        UsageError: the folder or encoding does not exist, or the files of several formats are in the folder.
        ReleaseError: the release is not complete, or not as its authors describe it.
    """
    check_encoding(encoding)
    return _FINDERS[release_format or _detect(folder)](folder, encoding)


def _detect(folder: Path) -> Format:
    candidates = [name for name, looks_like in _MARKS.items() if folder.is_dir() and looks_like(folder)]
    if len(candidates) > 1:
        raise UsageError(
            f"{folder}: has files of the formats {' and '.join(candidates)}; say which one is meant with --format"
        )
    return candidates[0] if candidates else "rope"


def _find_rope(folder: Path, encoding: str | None) -> ReleaseSource:
    release = rope_release.find_release(folder, encoding)
    images = folder / "images"
    return ReleaseSource(
        kind="rope_release",
        folder=folder,
        files=tuple(release.files.values()),
        splits=release.splits,
        domains=release.domains,
        image_root=images if images.is_dir() else folder,
        stage=partial(_stage_rope, release=release),
        file_of=partial(rope_release.pair_file, files=release.files),
        encoding=encoding,
    )


def _stage_rope(
    connection: duckdb.DuckDBPyConnection, advance: Callable[[int], None], *, release: rope_release.Release
) -> dict[str, str]:
    return rope_release.stage_release(connection, release, advance)


_FINDERS: Final[dict[Format, Callable[[Path, str | None], ReleaseSource]]] = {
    "rope": _find_rope,
    "product1m": product1m.find_release,
    "m5product": m5product.find_release,
    "lpr4m": lpr4m.find_release,
    "movingfashion": movingfashion.find_release,
    "grocery": grocery.find_release,
    "abo": abo.find_release,
    "abo-mvr": abo.find_benchmark,
    "mbeir": mbeir.find_release,
    "mmeb": mmeb.find_release,
    "folder": own_folder.find_release,
}

_MARKS: Final[dict[Format, Callable[[Path], bool]]] = {
    "rope": rope_release.looks_like,
    "product1m": product1m.looks_like,
    "m5product": m5product.looks_like,
    "lpr4m": lpr4m.looks_like,
    "movingfashion": movingfashion.looks_like,
    "grocery": grocery.looks_like,
    "abo": abo.looks_like,
    "mbeir": mbeir.looks_like,
    "mmeb": mmeb.looks_like,
    "folder": own_folder.looks_like,
}
