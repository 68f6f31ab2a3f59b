"""What any cut of a column would keep, and which cut labels can vouch for, from the rows of a run."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.filtering.threshold import BINS, Cut, Sketch, choose_cuts, join_sketches, make_sketch, n_kept
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.pipeline.runner import finished_stages
from rope.errors import UsageError
from rope.files import check_file

if TYPE_CHECKING:
    from rope.table import Table

__all__ = ["cuts_from_labels", "read_labels", "scores", "sketch_of", "sweep_table"]

_MATCH: Final = {"same": True, "different": False}


def scores(recipe: CurationRecipe, stage: str, column: str) -> Iterator[pa.Table]:
    """The scores of all rows that a filter has judged, a shard at a time: `id`, `domain` and `score`.

    Of a row that was not kept, the score is in its reject; rows without one are left out, as no cut keeps them.

    Raises:
        UsageError: there is no such stage, or its rows have no such column.
        DatasetError: the recipe was not run to its end.
    """
    stages = finished_stages(recipe)
    if stage not in stages:
        raise UsageError(f"{recipe.name}: no stage {stage!r}; it has {', '.join(stages)}")
    for folder, manifest in stages[stage]:
        yield from _scores_of(folder, manifest, column)


def sketch_of(recipe: CurationRecipe, stage: str, column: str) -> Sketch:
    """How many rows of each domain have which score, in bins of 0.001.

    Raises:
        UsageError: as `scores`; or a score is not from -1 to 1.
        DatasetError: the recipe was not run to its end.
    """
    tables = scores(recipe, stage, column)
    return join_sketches([make_sketch(table["score"].to_numpy(), table["domain"].to_pylist()) for table in tables])


def sweep_table(sketch: Sketch, step: float) -> "Table":
    """What each cut keeps, in rows and percent, for a terminal; from the lowest cut that keeps all to the highest.

    Raises:
        UsageError: `step` is not a multiple of 0.001.
    """
    from rope.table import Table

    table = Table()
    table.add_columns("cut", *sketch.strata, "all")
    totals = [*sketch.counts.sum(axis=1).tolist(), int(sketch.counts.sum())]
    for cut in _cuts(sketch, step):
        kept = n_kept(sketch, cut).tolist()
        cells = [f"{n:,} ({n / max(of, 1):.1%})" for n, of in zip([*kept, sum(kept)], totals, strict=True)]
        table.add_row(f"{cut:g}", *cells)
    return table


def read_labels(path: Path) -> list[dict[str, Any]]:
    """Labels of rows: Parquet of `rope curate annotate labels`, or a CSV with `item_id`, `label` and maybe `weight`.

    Raises:
        UsageError: there is no such file, or a column is missing.
    """
    check_file(path, "labels as Parquet or CSV")
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        names = list(rows[0]) if rows else []
    else:
        table = pq.read_table(path)
        rows, names = table.to_pylist(), table.column_names
    if missing := [name for name in ("item_id", "label") if name not in names]:
        raise UsageError(f"{path}: no column {missing[0]!r}; expected item_id, label and, if there are any, weight")
    return rows


def cuts_from_labels(
    recipe: CurationRecipe, stage: str, column: str, labels: Sequence[Mapping[str, Any]], *, precision: float
) -> dict[str, Cut]:
    """Domain -> the lowest cut at which so large a share of the rows are matches, with 95 % confidence.

    Args:
        recipe: run to its end.
        stage: the filter.
        column: that it judges by.
        labels: with `item_id`, the id of a row, or of a pair as `PAGE|CLIP`, which is about the clip; `label`, of which
            `same` is a match, `different` is none, and others are passed over; and maybe `weight`.
        precision: share of matches among rows at or above the cut.

    Raises:
        UsageError: no label is of a row with a score, or as `scores`.
        DatasetError: the recipe was not run to its end.
    """
    judged = [one for one in labels if one["label"] in _MATCH]
    ids = [str(one["item_id"]).rpartition("|")[2] for one in judged]
    found: dict[str, tuple[str, float]] = {}
    for table in scores(recipe, stage, column):
        own = table.filter(pc.is_in(table["id"], pa.array(sorted(set(ids)), pa.string())))
        found |= {row["id"]: (row["domain"], row["score"]) for row in own.to_pylist()}
    known = [(found[row_id], one) for row_id, one in zip(ids, judged, strict=True) if row_id in found]
    if not known:
        raise UsageError(
            f"none of the {len(labels):,} labels says same or different of a row that {stage!r} has judged"
        )
    return choose_cuts(
        [score for (_, score), _ in known],
        [_MATCH[one["label"]] for _, one in known],
        [domain for (domain, _), _ in known],
        precision=precision,
        weight=[float(one.get("weight") or 1.0) for _, one in known],
    )


def _scores_of(folder: Path, manifest: ShardManifest, column: str) -> Iterator[pa.Table]:
    for part in manifest.parts:
        path = folder / part.kept.name
        if column not in (names := pq.read_schema(path).names):
            raise UsageError(f"{path}: no column {column!r}; the rows have {', '.join(names)}")
        kept = pq.read_table(path, columns=["id", "domain", column]).rename_columns(["id", "domain", "score"])
        rejects = pq.read_table(folder / part.rejects.name, columns=["id", "domain", "score", "reason"])
        rejects = rejects.filter(pc.equal(rejects["reason"], f"low_{column}")).drop_columns("reason")
        kept = kept.set_column(2, "score", pc.cast(kept["score"], pa.float64()))
        yield pa.concat_tables([kept, rejects])


def _cuts(sketch: Sketch, step: float) -> list[float]:
    """Multiples of a step over the scores that there are.

    >>> _cuts(make_sketch([0.21, 0.25], ["page", "page"]), 0.02)
    [0.2, 0.22, 0.24]
    """
    wide = round(step * 1000)
    if wide < 1 or abs(step * 1000 - wide) > 1e-6:
        raise UsageError(f"step is {step}; expected a multiple of 0.001")
    there = sketch.counts.sum(axis=0).nonzero()[0].tolist()
    middle = BINS // 2
    if not there:
        return []
    low, high = (there[0] - middle) // wide, (there[-1] - middle) // wide
    return [place * wide / 1000 for place in range(low, high + 1)]
