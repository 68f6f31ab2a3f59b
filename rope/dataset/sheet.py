"""A contact sheet: one row per product, with its pages, frames of a video and of a live clip, and samples of others."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from rope.dataset.fonts import drawable, find_font, fit
from rope.dataset.manifest import read_manifest
from rope.dataset.samples import samples_in_views
from rope.dataset.views import open_views
from rope.domain import DomainName, Sample, Split, config_of, with_published
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, atomic_path
from rope.media.frames import choose_frames, decode_frames
from rope.media.images import contained
from rope.media.video import count_frames

__all__ = ["draw_sheet"]

_CELLS: Final[dict[DomainName, int]] = {"video": 4, "live": 4}
"""Frames of one clip, by domain; of pages and of other domains, `_STILLS` samples are shown with one image each."""

_STILLS: Final = 2

_HEADINGS: Final[dict[DomainName, str]] = {"page": "pages", "video": "one short video", "live": "one live clip"}

# Pixels.
_CELL: Final = 112
_GAP: Final = 4
_GROUP_GAP: Final = 20
_MARGIN: Final = 24
_LABEL_WIDTH: Final = 210
_HEADER: Final = 64
_ROW: Final = _CELL + 34

_INK, _FAINT, _EMPTY = "#1d2430", "#727b8a", "#f3f4f6"
_TINT: Final[dict[DomainName, str]] = {"page": "#2f6fb3", "video": "#b3591e", "live": "#2b8a5b"}
_OTHER_TINT: Final = "#7a4fa3"


@dataclass(frozen=True, slots=True)
class _Strip:
    """What is drawn of one product in one domain."""

    caption: str
    images: list[Image.Image]


@dataclass(frozen=True, slots=True)
class _Row:
    """What is drawn of one product."""

    product_id: str
    category: str | None
    title: str | None
    strips: dict[DomainName, _Strip]


def draw_sheet(directory: AnyPath, target: Path, split: Split, *, n_products: int = 8) -> None:
    """Draw a contact sheet of a split as PNG.

    The products are spread evenly over the list of all, ordered by category, so that the same dataset and fonts give
    the same sheet. Texts are left out where no installed font has their characters.

    Args:
        directory: a dataset directory.
        target: the file to write, ending in `.png`.
        split: the split to show.
        n_products: how many rows; fewer where the split has fewer.

    Raises:
        UsageError: `target` does not end in `.png`, or PyAV is needed for a video, and is not installed.
        DatasetError: the split has no products, or an image or video cannot be decoded.
    """
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target}: a contact sheet is written as PNG; give a name that ends in .png")
    manifest = read_manifest(directory)
    domains = with_published(manifest.domains)
    with open_views(directory, manifest) as connection:
        chosen = _chosen_products(connection, split, n_products)
        rows = [_row(connection, split, product_id, domains) for product_id in chosen]
    if not rows:
        raise DatasetError(f"{directory}: has no products in split {split}, so there is nothing to draw")
    with atomic_path(target) as path:
        _drawn(rows, split).save(path, format="PNG", optimize=True)


def _chosen_products(connection: duckdb.DuckDBPyConnection, split: Split, n_products: int) -> list[str]:
    found = connection.execute(
        f"SELECT product_id FROM products_{split} ORDER BY category, length(product_id), product_id"
    ).fetchall()
    if not found:
        return []
    return [found[index][0] for index in choose_frames(len(found), min(n_products, len(found)))]


def _row(connection: duckdb.DuckDBPyConnection, split: Split, product_id: str, domains: Sequence[DomainName]) -> _Row:
    ids = ", ".join(f"{domain}_ids" for domain in domains)
    category, *lists = connection.execute(
        f"SELECT category, {ids} FROM products_{split} WHERE product_id = ?", [product_id]
    ).fetchall()[0]
    ids_of: dict[DomainName, list[str]] = dict(zip(domains, lists, strict=True))
    shown = {
        domain: samples_in_views(connection, split, domain, of_domain[: 1 if domain in _CELLS else _STILLS])
        for domain, of_domain in ids_of.items()
    }
    strips = {
        domain: _clip_strip(samples) if domain in _CELLS else _still_strip(samples, len(ids_of[domain]))
        for domain, samples in shown.items()
    }
    return _Row(product_id, category, next((page.text for page in shown["page"] if page.text), None), strips)


def _still_strip(samples: list[Sample], n_all: int) -> _Strip:
    """One image of each sample: its first, or one of its video."""
    stills = [sample for sample in samples if sample.frames or sample.video]
    return _Strip(f"{n_all} in all", [_thumbnail(decode_frames(_first(sample), 1)[0]) for sample in stills])


def _clip_strip(samples: list[Sample]) -> _Strip:
    """Frames spread over the first sample."""
    if not samples or not (samples[0].frames or samples[0].video):
        return _Strip("none", [])
    clip = samples[0]
    n_frames = len(clip.frames) or _count_frames(clip)
    pixels = decode_frames(clip, min(_CELLS[clip.domain], n_frames))
    return _Strip(f"{clip.sample_id}, {n_frames} frames", [_thumbnail(one) for one in pixels])


def _first(sample: Sample) -> Sample:
    return replace(sample, frames=sample.frames[:1])


def _count_frames(sample: Sample) -> int:
    assert sample.video is not None
    try:
        return count_frames(sample.video)
    except DatasetError as error:
        raise DatasetError(f"{sample.domain} {sample.sample_id}: {error}") from error


def _thumbnail(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return contained(Image.fromarray(pixels), _CELL, Image.Resampling.LANCZOS)


def _left_of(domain: DomainName, domains: Sequence[DomainName]) -> int:
    """Where the columns of a domain begin."""
    before = domains[: domains.index(domain)]
    return _MARGIN + _LABEL_WIDTH + sum(_width_of(earlier) + _GROUP_GAP for earlier in before)


def _width_of(domain: DomainName) -> int:
    return _CELLS.get(domain, _STILLS) * (_CELL + _GAP) - _GAP


def _drawn(rows: Sequence[_Row], split: Split) -> Image.Image:
    domains = list(rows[0].strips)
    width = _left_of(domains[-1], domains) + _width_of(domains[-1]) + _MARGIN
    sheet = Image.new("RGB", (width, _HEADER + len(rows) * _ROW + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    heading = find_font(16)
    draw.text((_MARGIN, _MARGIN), f"{len(rows)} products of {split}", _INK, heading)
    for domain in domains:
        left, tint = _left_of(domain, domains), _TINT.get(domain, _OTHER_TINT)
        draw.text((left, _MARGIN), _HEADINGS.get(domain, config_of(domain)), tint, heading)
        draw.line((left, _HEADER - 12, left + _width_of(domain), _HEADER - 12), tint, 2)
    for index, row in enumerate(rows):
        _draw_row(sheet, draw, row, _HEADER + index * _ROW)
    return sheet


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    _draw_label(draw, row, top)
    domains = list(row.strips)
    for domain, strip in row.strips.items():
        left = _left_of(domain, domains)
        for cell, image in enumerate(strip.images):
            _draw_cell(sheet, draw, image, (left + cell * (_CELL + _GAP), top))
        font = find_font(12)
        draw.text((left, top + _CELL + 4), drawable(strip.caption, font), _FAINT, font)


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, image: Image.Image, corner: tuple[int, int]) -> None:
    left, top = corner
    draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), _EMPTY)
    sheet.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))


def _draw_label(draw: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    """The id, the category and the title, as far as they can be drawn."""
    width = _LABEL_WIDTH - _GROUP_GAP
    for text, colour, size, n_lines in (
        (row.product_id, _INK, 16, 1),
        (row.category, _FAINT, 13, 1),
        (row.title, _INK, 13, 4),
    ):
        font = find_font(size)
        for line in fit(drawable(text or "", font), font, width, n_lines):
            draw.text((_MARGIN, top), line, colour, font)
            top += round(size * 1.35)
