"""The image tasks of MMEB (Jiang et al., VLM2Vec, ICLR 2025), as the dataset TIGER-Lab/MMEB-eval has them.

`SUBSET/test*.parquet` has a query a row: `qry_text`, `qry_img_path`, and its candidates in two lists of one length,
`tgt_text` and `tgt_img_path`, the right one first. An empty path means no image. `<|image_1|>` in a text says where a
model sees the image; it is taken off. Images lie in `images` or `eval_images`, or beside the subsets.

Each query is searched for among its own candidates, as the authors do. Candidates with the same text and image are one
sample, whose id is a hash of them.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.domain import Frame
from rope.errors import ReleaseError, UsageError
from rope.query import Positive, SampleKey, SearchQuery
from rope.sources.candidates import Candidate, candidate_source, domain_of_candidate
from rope.sources.faults import ReleaseFault
from rope.sources.source import ReleaseSource

__all__ = ["find_release", "looks_like"]

_COLUMNS: Final = ("qry_text", "qry_img_path", "tgt_text", "tgt_img_path")
_IMAGE_MARK: Final = "<|image_1|>"
_ROWS: Final = 64

Shown = tuple[str | None, str | None]
"""A text and the path of an image; at least one is there."""


def looks_like(folder: Path) -> bool:
    """Whether a folder has a subset of MMEB: Parquet with its four columns."""
    return any(set(_COLUMNS) <= set(_names(folder / name)) for name in _files(folder))


def find_release(folder: Path, encoding: str | None = None) -> ReleaseSource:
    """Find the subsets of a folder.

    Args:
        folder: with a folder for each subset that is wanted.
        encoding: None; Parquet has none.

    Raises:
        UsageError: the folder does not exist, or an encoding is given.
        ReleaseError: it has no subset, or a file of one lacks a column.
    """
    if not folder.is_dir() or encoding is not None:
        what = f"--encoding {encoding}: Parquet has none" if folder.is_dir() else f"{folder}: no such folder"
        raise UsageError(f"{what}; expected a folder with subsets of MMEB, as in CIRR/test-00000-of-00001.parquet")
    files = _files(folder)
    if not files:
        raise ReleaseError(f"{folder}: no subset of MMEB; expected SUBSET/test*.parquet, and the images beside")
    for name in files:
        if missing := [column for column in _COLUMNS if column not in _names(folder / name)]:
            raise ReleaseError(f"{folder / name}: no column {missing[0]}; a subset of MMEB has {', '.join(_COLUMNS)}")
    places = [folder / place for place in ("images", "eval_images") if (folder / place).is_dir()]
    return candidate_source(
        "mmeb",
        folder,
        files,
        (places or [folder])[0],
        partial(_candidates, folder, files),
        partial(_queries, folder, files),
    )


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/test*.parquet")))


def _names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return []


def _rows(folder: Path, name: str) -> Iterator[tuple[int, Shown, list[Shown]]]:
    """The queries of a subset with their candidates, the right one first."""
    try:
        with pq.ParquetFile(folder / name) as file:
            number = 0
            for batch in file.iter_batches(_ROWS, columns=list(_COLUMNS)):
                for text, image, texts, images in zip(*(batch[column].to_pylist() for column in _COLUMNS), strict=True):
                    number += 1
                    if not texts or len(texts) != len(images or ()):
                        raise ReleaseError(
                            f"{folder / name}:{number}: {len(texts or ())} texts and {len(images or ())} images of "
                            "candidates; expected as many, and at least one"
                        )
                    yield number, _shown(text, image), [_shown(*one) for one in zip(texts, images, strict=True)]
    except (OSError, pa.ArrowException) as error:
        raise ReleaseError(f"{folder / name}: cannot be read as Parquet ({error})") from error


def _shown(text: str | None, image: str | None) -> Shown:
    r"""A text without the mark of the image, and the image.

    >>> _shown("<|image_1|>\nA red one.", "a.jpg"), _shown(" ", "")
    (('A red one.', 'a.jpg'), (None, None))
    """
    return (text or "").replace(_IMAGE_MARK, "").strip() or None, image or None


def _key(shown: Shown) -> SampleKey:
    digest = hashlib.blake2b(json.dumps(shown).encode(), digest_size=12).hexdigest()
    return domain_of_candidate(shown[1]), digest


def _candidates(folder: Path, files: Sequence[str]) -> Iterator[Candidate | ReleaseFault]:
    seen: set[SampleKey] = set()
    for name in files:
        for number, _, candidates in _rows(folder, name):
            for one in candidates:
                key = _key(one)
                if one == (None, None):
                    yield ReleaseFault(name, number, "bad_row", "a candidate without a text and an image")
                elif key not in seen:
                    seen.add(key)
                    yield Candidate(name, number, key[1], *one)


def _queries(folder: Path, files: Sequence[str], root: Path) -> Iterator[SearchQuery]:
    for name in files:
        for number, (text, image), candidates in _rows(folder, name):
            keys = tuple(dict.fromkeys(map(_key, candidates)))
            yield SearchQuery(
                query_id=f"{name.partition('/')[0]}:{number}",
                text=text,
                images=() if image is None else (Frame(path=str(root / image)),),
                positives=(Positive(*keys[0]),),
                candidates=keys,
            )
