"""Build a dataset directory from the rows a recipe has kept, traceable to every raw row."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq

from rope.curation.annotation.export import audited_precision
from rope.curation.annotation.precision import card_with_precision, precision_json
from rope.curation.attributes import ATTRIBUTES_NAME, write_attributes
from rope.curation.embedded_media import in_files
from rope.curation.pipeline.accounting import audit as check_accounting
from rope.curation.pipeline.accounting import kept_files
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import load_operation
from rope.curation.pipeline.places import cache_of, here_of
from rope.curation.pipeline.recipe import CurationRecipe, stages_of
from rope.curation.pipeline.runner import finished_stages
from rope.curation.send import refuse_occupied, send_dataset
from rope.curation.splitting.leak_audit import LeakAudit
from rope.curation.splitting.recipe_leaks import audit_split, card_with_leaks, leak_summary, leaks_refused, write_leaks
from rope.dataset.build import BuildReport, build_dataset
from rope.dataset.validate import validate
from rope.documents import read_document
from rope.domain import DOMAINS, SPLITS, Domain
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, atomic_path, sha256_of
from rope.sources.source import ReleaseSource
from rope.sources.staging import FrameRow, SampleRow, Staging

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["LINEAGE_NAME", "curated_source", "publish", "shown_media"]

LINEAGE_NAME: Final = "curation.json"
"""Beside the manifest of a dataset: the recipe, what each of its stages has counted, and the leak audit."""

_log: Final = logging.getLogger(__name__)

_UNSOUND: Final = """
## Unsound

This dataset was published although its audit failed:

"""

_BATCH: Final = 256
"""Rows at a time; each may hold a video."""

_NEEDED: Final = ("id", "domain", "text", "category", "frames", "video", "product_id", "split")


def publish(
    recipe_file: Path,
    recipe: CurationRecipe,
    out: AnyPath,
    *,
    audit_folder: Path | None = None,
    overwrite: bool = False,
    accept_unsound: bool = False,
    progress: bool = True,
) -> BuildReport:
    """Build a dataset directory from the rows that the last stage has kept; repeat it to resume.

    First it checks that every row of the pool is accounted for, and looks for leaks between the splits
    (`rope.curation.splitting.recipe_leaks`); the table ends up in the card, and so does the precision, if there is an
    audit.

    At an address of fsspec the dataset exists from the moment that its manifest is there, which comes last
    (`rope.curation.send`). It is made in the cache folder of this machine and checked before it is sent.

    Args:
        recipe_file: the recipe's text goes into the lineage.
        recipe: the same, run to its end; its rows have `product_id` and `split`.
        out: the dataset directory.
        audit_folder: batches and answers of an audit (`rope.curation.annotation.precision`); None for no audit.
        overwrite: see `rope.dataset.build.build_dataset`.
        accept_unsound: build although rows are not accounted for or splits leak; the card and the lineage say so.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a column is missing, or `out` is something else.
        DatasetError: a stage is stale, rows are not accounted for, there are more leaks than the recipe accepts, the
            audit is not of these rows, or what would be sent to an address is not sound.
        ReleaseError: nothing is left of a split.
    """
    if not isinstance(out, Path):
        with _to_send(recipe, out) as here:
            report = publish(
                recipe_file,
                recipe,
                here,
                audit_folder=audit_folder,
                overwrite=True,
                accept_unsound=accept_unsound,
                progress=progress,
            )
            if problems := validate(here):
                raise DatasetError(f"{out}: not sent, as {problems[0].where}: {problems[0].what}")
            return replace(report, is_new=send_dataset(here, out, overwrite=overwrite, progress=progress))
    stages = finished_stages(recipe)
    source = curated_source(recipe, stages)
    miscounted = check_accounting(recipe).problems
    if miscounted and not accept_unsound:
        raise DatasetError(
            f"{recipe.name}: not every row is accounted for; {'; '.join(miscounted)}: put the pool right (the stage "
            "deduplicate keeps one row of each id), or publish with --accept-unsound, which the card will say"
        )
    audit = audit_split(recipe, stages)
    listing = write_leaks(here_of(recipe.work), audit)
    refused = leaks_refused(audit, recipe.leaks)
    if refused and not accept_unsound:
        raise DatasetError(
            f"{recipe.name}: the splits leak; {'; '.join(refused)}; all leaks are in {listing}: change the recipe, or "
            "accept a number of each kind, or waive ids, under [leaks]"
        )
    unsound = [*miscounted, *refused]
    precision = None if audit_folder is None else audited_precision(recipe, audit_folder)
    lineage = _lineage(recipe_file, recipe, stages, audit)
    lineage["precision"] = None if precision is None else precision_json(precision)
    lineage["unsound"] = unsound

    def complete(folder: Path) -> list[str]:
        card = card_with_leaks((folder / "README.md").read_text("utf-8"), audit, recipe.leaks)
        card = card if precision is None else card_with_precision(card, precision)
        _write(folder / "README.md", card + (_UNSOUND + "".join(f"* {one}\n" for one in unsound) if unsound else ""))
        _write(folder / LINEAGE_NAME, json.dumps(lineage, indent=1, ensure_ascii=False) + "\n")
        if not recipe.pool.keep:
            return [LINEAGE_NAME]
        write_attributes(kept_files(stages, list(stages)[-1]), recipe.pool.keep, folder / ATTRIBUTES_NAME)
        return [LINEAGE_NAME, ATTRIBUTES_NAME]

    report = build_dataset(source, out, name=recipe.name, overwrite=overwrite, complete=complete, progress=progress)
    if not recipe.pool.keep:
        (out / ATTRIBUTES_NAME).unlink(missing_ok=True)  # of a recipe that kept other columns
    for one in unsound:
        _log.warning("published although its audit failed, as the card says: %s", one)
    return report


@contextmanager
def _to_send(recipe: CurationRecipe, out: "UPath") -> Iterator[Path]:
    """A folder in the cache of this machine for a dataset to send; removed when the block has ended well.

    It is named after the rows, so that what was begun of them is continued, and nothing else is in the way.
    """
    refuse_occupied(out)
    shards = [manifest.key for _, manifest in list(finished_stages(recipe).values())[-1]]
    folder = cache_of(out)
    here = folder / hashlib.sha256(json.dumps([recipe.name, shards]).encode()).hexdigest()[:16]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != here:
            shutil.rmtree(other)
    yield here
    shutil.rmtree(folder)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")


def curated_source(recipe: CurationRecipe, stages: dict[str, list[tuple[Path, ShardManifest]]]) -> ReleaseSource:
    """The kept rows of the last stage as a release.

    Media that are stored inside rows, or lie elsewhere, are written to `work/media`.

    Raises:
        UsageError: a column is missing.
    """
    last = list(stages)[-1]
    folder = stages[last][0][0]
    names = tuple(part.kept.name for _, manifest in stages[last] for part in manifest.parts)
    for name in names:
        if missing := [column for column in _NEEDED if column not in pq.read_schema(folder / name).names]:
            raise UsageError(
                f"stage {last!r} of {recipe.name}: its rows have no column {missing[0]!r}; end the recipe with the "
                "stages merge and split"
            )
    domains = {domain for name in names for domain in pq.read_table(folder / name, columns=["domain"])[0].to_pylist()}
    media = here_of(recipe.work) / "media"
    root = _root([path for name in names for path in _paths(folder / name, media)])
    return ReleaseSource(
        kind="curation",
        folder=folder,
        files=names,
        splits=SPLITS,
        domains=tuple(domain for domain in DOMAINS if domain in domains),
        image_root=root,
        stage=partial(_stage, folder=folder, names=names, root=root, media=media),
        file_of=lambda _split, _domain: names[0],
        shown_as=partial(_shown_as, root=root, folders=_media_folders(recipe)),
    )


def _media_folders(recipe: CurationRecipe) -> list[Path]:
    """The folders of this machine in which media of a run lie: of the pool, of downloads, and of what rows held."""
    pool = recipe.pool_path
    of_pool = [pool if pool.is_dir() else pool.parent] if isinstance(pool, Path) else []
    downloads = [load_operation(stage.use).options(**stage.options).folder for stage in stages_of(recipe, "download")]
    return [here_of(recipe.work) / "media", *downloads, *of_pool]


def _shown_as(name: str, *, root: Path, folders: Sequence[Path]) -> str:
    """What a dataset calls a file: its place in its folder, and alone its name elsewhere; no path of this machine.

    >>> _shown_as("pool/a/b.jpg", root=Path("/x"), folders=[Path("/x/pool")])
    'a/b.jpg'
    >>> _shown_as("home/me/b.jpg", root=Path("/"), folders=[Path("/x/pool")])
    'b.jpg'
    """
    path = os.path.normpath(root / name)
    for folder in folders:
        start = f"{os.path.normpath(folder.absolute())}{os.sep}"
        if path.startswith(start):
            return Path(path.removeprefix(start)).as_posix()
    return Path(path).name


def _paths(path: Path, media: Path) -> Iterator[str]:
    """The folders of all media of a file of rows."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=["frames", "video"]):
            for raw in batch.to_pylist():
                row = in_files(raw, media)
                for stored in [*(row["frames"] or []), *([row["video"]] if row["video"] else [])]:
                    yield os.path.dirname(stored["path"])  # noqa: PTH120  of millions of texts


def _root(folders: Sequence[str]) -> Path:
    return Path(os.path.commonpath(sorted(set(folders)))) if folders else Path("/")


def _stage(
    connection: duckdb.DuckDBPyConnection,
    advance: Callable[[int], None],
    *,
    folder: Path,
    names: Sequence[str],
    root: Path,
    media: Path,
) -> dict[str, str]:
    """See `rope.sources.source.Stage`."""
    staging = Staging(connection)
    for name in names:
        with pq.ParquetFile(folder / name) as file:
            there = [c for c in (*_NEEDED, "shown_frames") if c in file.schema_arrow.names]
            line = 0
            for batch in file.iter_batches(_BATCH, columns=there):
                for row in batch.to_pylist():
                    line += 1
                    for staged in _staged(in_files(row, media), name, line, root):
                        staging.add(staged)
        advance((folder / name).stat().st_size)
    staging.finish(SPLITS)
    return {name: sha256_of(folder / name) for name in names}


def _staged(row: dict[str, Any], name: str, line: int, root: Path) -> Iterator[SampleRow | FrameRow]:
    """A row as a release has it; of a clip, the frames that show the product, where a stage has said which.

    Of a page, which has one picture in a dataset, it is the middle one, at which the stages looked too.
    """
    domain: Domain = row["domain"]
    frames = row["frames"] or []
    video = os.path.relpath(row["video"]["path"], root) if row["video"] and not frames else None
    yield SampleRow(
        name, line, row["split"], domain, row["id"], row["product_id"], row["text"], row["category"], video
    )  # fmt: skip
    for place in _shown_places(row):
        image = os.path.relpath(frames[place]["path"], root)
        yield FrameRow(name, line, row["split"], domain, row["id"], place, image)


def _shown_places(row: Mapping[str, Any]) -> Sequence[int]:
    n = len(row["frames"] or [])
    return row.get("shown_frames") or ([n // 2] if row["domain"] == "page" else range(n)) if n else ()


def shown_media(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The media of a row that a dataset holds: its shown frames, or else its video."""
    if row["frames"]:
        return [row["frames"][place] for place in _shown_places(row)]
    return [row["video"]] if row["video"] else []


def _lineage(
    recipe_file: Path, recipe: CurationRecipe, stages: dict[str, list[tuple[Path, ShardManifest]]], audit: LeakAudit
) -> dict[str, Any]:
    return {
        "recipe": _without_places(recipe_file),
        "previous": None if recipe.previous is None else recipe.previous.name,
        "stages": {
            name: {
                "shards": [manifest.key for _, manifest in shards],
                "rows_in": sum(manifest.rows_in for _, manifest in shards),
                "counts": _counts([manifest for _, manifest in shards]),
                "notes": {key: note for _, manifest in shards for key, note in manifest.notes.items()},
            }
            for name, shards in stages.items()
        },
        "leaks": leak_summary(audit, recipe.leaks),
    }


def _without_places(recipe_file: Path) -> str:
    """The text of a recipe; of an absolute path in it only the last part, as the rest is of this machine alone."""
    text = recipe_file.read_text("utf-8")
    for place in sorted(_absolute_paths(read_document(recipe_file, "TOML", "a recipe")), key=len, reverse=True):
        text = text.replace(place, PurePath(place).name)
    return text


def _absolute_paths(value: object) -> Iterator[str]:
    """All texts in a document that are absolute paths."""
    if isinstance(value, str) and PurePath(value).is_absolute():
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _absolute_paths(one)


def _counts(manifests: Sequence[ShardManifest]) -> list[dict[str, Any]]:
    """Rows by domain, fate and reason."""
    totals: dict[tuple[str, str, str], int] = {}
    for manifest in manifests:
        for count in manifest.counts:
            key = (count.domain, count.fate, count.reason or "")
            totals[key] = totals.get(key, 0) + count.rows
    return [
        {"domain": domain, "fate": fate, "reason": reason or None, "rows": rows}
        for (domain, fate, reason), rows in sorted(totals.items())
    ]
