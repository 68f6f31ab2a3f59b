"""How many rows any cut would keep, and the cut that labels support, from the rows of a run."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.annotation.items import readings_of
from rope.curation.annotation.label_files import Label
from rope.curation.filtering.stage import as_numbers
from rope.curation.filtering.threshold import BINS, Cut, Sketch, choose_cuts, join_sketches, make_sketch, n_kept
from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.pipeline.runner import POOL_STAGE, finished_stages
from rope.errors import UsageError

if TYPE_CHECKING:
    from rope.table import Table

__all__ = ["cuts_from_labels", "scale_of", "scores", "sketch_of", "sweep_table"]


def scores(recipe: CurationRecipe, stage: str, column: str) -> Iterator[pa.Table]:
    """The scores of all rows that a filter has judged, a shard at a time: `id`, `domain` and `score`.

    Of a row that was not kept, the score is in its reject; rows without one are left out, as no cut keeps them.

    Raises:
        UsageError: the stage is unknown, or its rows have no such column.
        DatasetError: the recipe was not run to its end.
    """
    stages = finished_stages(recipe)
    if stage not in stages:
        raise UsageError(f"{recipe.name}: no stage {stage!r}; it has {', '.join(stages)}")
    for folder, manifest in stages[stage]:
        yield from _scores_of(folder, manifest, column)


def scale_of(recipe: CurationRecipe, stage: str, column: str) -> int:
    """The power of ten by which scores are divided so that they are from -1 to 1; 1 where they are.

    Raises:
        UsageError: as `scores`.
        DatasetError: the recipe was not run to its end.
    """
    tables = [table["score"] for table in scores(recipe, stage, column)]
    most = max((float(np.nanmax(np.abs(one.to_numpy()), initial=0.0)) for one in tables), default=0.0)
    return 1 if most <= 1 or not math.isfinite(most) else 10 ** math.ceil(math.log10(most))


def sketch_of(recipe: CurationRecipe, stage: str, column: str, scale: int = 1) -> Sketch:
    """How many rows of each domain have which score, in bins of a thousandth of a scale.

    Raises:
        UsageError: as `scores`; or a score is not from -1 to 1.
        DatasetError: the recipe was not run to its end.
    """
    tables = scores(recipe, stage, column)
    return join_sketches(
        [make_sketch(table["score"].to_numpy() / scale, table["domain"].to_pylist()) for table in tables]
    )


def sweep_table(sketch: Sketch, step: float, scale: int = 1, *, upper: bool = False) -> "Table":
    """What each cut keeps, in rows and percent, for a terminal; from the lowest cut that keeps all to the highest.

    Args:
        sketch: of a scale.
        step: between two cuts.
        scale: see `scale_of`.
        upper: whether rows at or below a cut are kept, up to the bin that it begins, and not those at or above it.

    Raises:
        UsageError: `step` is not a multiple of a thousandth of the scale.
    """
    from rope.table import Table

    table = Table()
    table.add_columns("at most" if upper else "cut", *sketch.strata, "all")
    totals = [*sketch.counts.sum(axis=1).tolist(), int(sketch.counts.sum())]
    for cut in _cuts(sketch, step / scale):
        above = n_kept(sketch, min(round(cut + 0.001, 3), 1.0)) if cut < 1 else np.zeros(len(sketch.strata), np.int64)
        kept = (sketch.counts.sum(axis=1) - above if upper else n_kept(sketch, cut)).tolist()
        cells = [f"{n:,} ({n / max(of, 1):.1%})" for n, of in zip([*kept, sum(kept)], totals, strict=True)]
        table.add_row(f"{cut * scale:g}", *cells)
    return table


def cuts_from_labels(
    recipe: CurationRecipe, stage: str, column: str, labels: Sequence[Label], *, precision: float
) -> dict[str, Cut]:
    """Domain -> the lowest cut at which so large a share of the rows are matches, with 95 % confidence.

    Only `same` is a match. What answers leave open, and what nobody can tell, counts as none: such rows are more often
    wrong than others, and without them the rest would look too good. A match counts as far as its label is certain.
    Rows of one product hint are one cluster.

    Args:
        recipe: run to its end.
        stage: the filter.
        column: that it judges by.
        labels: of rows, or of pairs `PAGE|CLIP`, which are about the clip; those of other questions are ignored.
        precision: share of matches among rows at or above the cut.

    Raises:
        UsageError: no label is of a row with a score, or as `scores`.
        DatasetError: the recipe was not run to its end.
    """
    judged = [one for one in labels if one.question == "same_product"]
    stages = finished_stages(recipe)
    found: dict[str, tuple[str, float]] = {}
    wanted = pa.array(sorted({row_id for one in judged for row_id in _readings(one.item_id)}), pa.string())
    for table in scores(recipe, stage, column):
        own = table.filter(pc.is_in(table["id"], wanted))
        found |= {row["id"]: (row["domain"], row["score"]) for row in own.to_pylist()}
    about = [(next((row_id for row_id in _readings(one.item_id) if row_id in found), None), one) for one in judged]
    known = [(row_id, one) for row_id, one in about if row_id is not None]
    if not known:
        raise UsageError(f"none of the {len(labels):,} labels is of a row that {stage!r} has judged")
    hints = _hints(stages, [row_id for row_id, _ in known])
    return choose_cuts(
        [found[row_id][1] for row_id, _ in known],
        [one.label == "same" for _, one in known],
        [found[row_id][0] for row_id, _ in known],
        precision=precision,
        weight=[one.weight for _, one in known],
        trust=[1.0 if one.label != "same" or one.probability is None else one.probability for _, one in known],
        cluster=[hints[row_id] for row_id, _ in known],
    )


def _readings(item_id: str) -> list[str]:
    """What row a label may be about: the row itself, or the clip of a pair; ids may have a bar in them.

    >>> _readings("p|1|v2")
    ['p|1|v2', '1|v2', 'v2']
    """
    return list(dict.fromkeys([item_id, *(right for _, right in readings_of(item_id))]))


def _hints(stages: Stages, row_ids: Sequence[str]) -> dict[str, str]:
    """The product hint of rows as the pool gives it; its own name of a row without one."""
    wanted = pa.array(sorted(set(row_ids)), pa.string())
    found: dict[str, str] = {}
    for path in kept_files(stages, POOL_STAGE):
        rows = pq.read_table(path, columns=["id", "product_hint"])
        for row in rows.filter(pc.is_in(rows["id"], wanted)).to_pylist():
            found[row["id"]] = f"row {row['id']}" if row["product_hint"] is None else f"hint {row['product_hint']}"
    return found


def _scores_of(folder: Path, manifest: ShardManifest, column: str) -> Iterator[pa.Table]:
    for part in manifest.parts:
        path = folder / part.kept.name
        if column not in (names := pq.read_schema(path).names):
            raise UsageError(f"{path}: no column {column!r}; the rows have {', '.join(names)}")
        kept = pq.read_table(path, columns=["id", "domain", column]).rename_columns(["id", "domain", "score"])
        rejects = pq.read_table(folder / part.rejects.name, columns=["id", "domain", "score", "reason"])
        outside = pa.array([f"low_{column}", f"high_{column}"])
        rejects = rejects.filter(pc.is_in(rejects["reason"], outside)).drop_columns("reason")
        try:
            kept = kept.set_column(2, "score", as_numbers(kept["score"]))
        except pa.ArrowException as error:
            raise UsageError(f"{path}: column {column!r} is not of numbers; sweep one that is") from error
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
