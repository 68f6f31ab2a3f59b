"""A dataset with other texts: the same rows, images and files except for one column, and a manifest that says so."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.console import progress_bar
from rope.dataset.build import FAULTS_NAME
from rope.dataset.card import render_card
from rope.dataset.columns import optional_columns
from rope.dataset.directory import reading
from rope.dataset.fingerprint import fingerprint
from rope.dataset.layout import unfinished_files
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, Shard, read_manifest, write_manifest
from rope.dataset.shards import RowBatch, write_shards
from rope.domain import CONFIG_OF
from rope.errors import UsageError
from rope.files import atomic_path
from rope.workdir import WorkFolder, json_differences

__all__ = ["SPOKEN", "Replace", "check_target", "write_with_texts"]

SPOKEN: Final = (CONFIG_OF["video"], CONFIG_OF["live"])
"""The configurations whose texts are recognised speech."""

_BUILDING: Final = ".rewrite"

Replace = Callable[[str, pa.Table], list[str | None]]
"""From a configuration and some rows of it to their new texts, in order."""


def check_target(out: Path, source: DatasetManifest, lineage: Mapping[str, str], *, overwrite: bool = False) -> bool:
    """Whether the folder holds the finished dataset already; what is unfinished is gone on with.

    Args:
        out: the folder.
        source: manifest of the dataset that the new one is made of.
        lineage: what the new manifest says of its texts.
        overwrite: whether an unfinished dataset with other texts may be there.

    Raises:
        UsageError: the folder holds something else.
    """
    if (out / MANIFEST_NAME).is_file():
        if read_manifest(out).source != {**source.source, **lineage}:
            raise UsageError(
                f"{out}: a dataset is there already, of other texts or sounds, another model or another prompt; choose "
                "another folder, or delete it"
            )
        return True
    _work(out, source, lineage).is_begun(overwrite=overwrite)
    return False


def write_with_texts(
    directory: Path,
    out: Path,
    shards: frozenset[str],
    replaced: Replace,
    lineage: Mapping[str, str],
    note: str,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[DatasetManifest, bool]:
    """Write a dataset directory whose texts are others in some shards; the other shards are copied.

    The manifest comes last. Stopped and called again with the same arguments, it ends with the same bytes.

    Args:
        directory: the dataset directory to start from.
        out: the new one.
        shards: names of the shards whose texts change.
        replaced: gives the new texts.
        lineage: added to `source` in the manifest; it has to tell the texts apart from any others.
        note: what the card says of the texts; the lineage follows it.
        overwrite: remove what an unfinished dataset with other texts left in `out`, and start over.
        progress: whether to draw a bar on stderr.

    Returns:
        The new manifest, and False if the dataset was there already.

    Raises:
        UsageError: `out` holds something else.
        DatasetError: the dataset cannot be read.
    """
    source = read_manifest(directory)
    if check_target(out, source, lineage, overwrite=overwrite):
        return read_manifest(out), False
    work = _work(out, source, lineage)
    with work.claimed(overwrite=overwrite):
        made = _write_shards(directory, out, source, shards, replaced, progress)
        manifest = replace(
            source, source={**source.source, **lineage}, shards=made, fingerprint=fingerprint(out, list(made))
        )
        card = render_card(manifest, optional_columns(out, list(made))) + _note(note, lineage)
        with atomic_path(out / _BUILDING / "README.md") as temporary:
            temporary.write_text(card, "utf-8")
        write_manifest(out / _BUILDING, manifest)
        for name in ("README.md", MANIFEST_NAME):
            (out / _BUILDING / name).replace(out / name)
        work.finish()
    return manifest, True


def _write_shards(
    directory: Path,
    out: Path,
    source: DatasetManifest,
    shards: frozenset[str],
    replaced: Replace,
    progress: bool,
) -> dict[str, Shard]:
    """Write or copy each shard that is not there, and the list of faults."""
    made = dict(source.shards)
    with progress_bar("writing", sum(shard.rows for shard in source.shards.values()), shown=progress) as advance:
        for name in sorted(source.shards):
            if name in shards:
                made[name] = _rewrite(directory / name, out, name, source.shards[name].rows, replaced, advance)
            else:
                _copy(directory, out, name)
                advance(source.shards[name].rows)
    if (directory / FAULTS_NAME).is_file():
        _copy(directory, out, FAULTS_NAME)
    return made


def _work(out: Path, source: DatasetManifest, lineage: Mapping[str, str]) -> WorkFolder:
    """The output while it is not finished."""
    text = json.dumps({**source.source, **lineage}, sort_keys=True)
    note, what = f"{_BUILDING}/key.json", "an unfinished dataset"
    return WorkFolder(out, note, text, what, json_differences(text), written=lambda: unfinished_files(out))


def _rewrite(path: Path, out: Path, name: str, n_rows: int, replaced: Replace, advance: Callable[[int], None]) -> Shard:
    """Write one shard with other texts, in row groups as they were, unless it is there."""
    building, stem = out / _BUILDING, name.replace("/", "-").removesuffix(".parquet")

    def read(_: int) -> Iterator[RowBatch]:
        with reading(path), pq.ParquetFile(path) as shard:
            for i in range(shard.num_row_groups):
                table = shard.read_row_group(i)
                texts = pa.array(replaced(name.partition("/")[0], table), pa.string())
                table = table.set_column(table.schema.get_field_index("text"), "text", texts)
                yield RowBatch(table, table.num_rows, 0)

    (record,) = write_shards(building, stem, pq.read_schema(path), n_rows, read, 1, advance)
    if (written := building / f"{stem}-00000.parquet").exists():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        written.replace(out / name)
    return Shard(record.rows, record.bytes, record.sha256)


def _copy(directory: Path, out: Path, name: str) -> None:
    """Copy a file, unless it is there; by way of the building folder, where a kill may leave half of it."""
    if not (out / name).exists():
        half = out / _BUILDING / "copy"
        shutil.copyfile(directory / name, half)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        half.replace(out / name)


def _note(note: str, lineage: Mapping[str, str]) -> str:
    rows = "\n".join(f"| {name} | `{value}` |" for name, value in lineage.items())
    return f"\n## Texts\n\n{note}\n\n| | |\n|---|---|\n{rows}\n"
