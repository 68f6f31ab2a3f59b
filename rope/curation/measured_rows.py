"""Rows that each stage keeps of the whole pool, from what it has kept of a part; see `rope.curation.population`."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import FloatArray, IntArray
from rope.curation.annotation.decisions import ids_in
from rope.curation.annotation.label_files import read_labels
from rope.curation.annotation.stage import ApplyAnswers, apply_answers
from rope.curation.codes import coded_in_order, joined_words
from rope.curation.dry_run import DryRun, Part, options_of
from rope.curation.pipeline.accounting import kept_files
from rope.curation.pipeline.ids import raw_ids, trimmed
from rope.curation.pipeline.operation import GlobalOperation, load_operation
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.pool import RawPool
from rope.curation.pipeline.recipe import Stage
from rope.curation.pool_keys import count_kinds, unit_of_rows
from rope.curation.population import Fates, SampleAt, kept_rows
from rope.curation.sampling.sample import Units
from rope.curation.sampling.stage import SampleRows
from rope.domain import DOMAINS

__all__ = ["read_rows", "rows_of_stages"]

_BATCH: Final = 65_536


def rows_of_stages(plan: Part, run: DryRun) -> tuple[FloatArray, dict[str, str]]:
    """Rows that each stage keeps, as draws; and what is assumed about a stage."""
    kinds, words = count_kinds(plan.pool, plan.rule)
    units, place = unit_of_rows(plan.drawn, plan.pool, plan.rule)
    fates = _fates(plan, run, units, place, words)
    samples, assumed = _samples(plan, run, place, len(units.rows))
    kept = kept_rows(kinds, fates, samples, factor=plan.factor, rng=np.random.default_rng(0))
    n_keys = kinds.count.sum() * plan.factor
    assumed |= _too_large(plan, samples, {i: n_keys * float((fates.kept[:, i - 1] > 0).mean()) for i in samples})
    for i, stage in enumerate(plan.stages):
        options = options_of(stage)
        if plan.recipe.previous is not None and isinstance(options, SampleRows):
            assumed[stage.name] = "draws as a run from nothing would, and not after the previous one"
        if isinstance(options, ApplyAnswers) and stage.name not in run.missing:
            lost = _rejected_by_answers(plan.pool, options)
            kept[:, i:] *= (1 - np.minimum(lost / np.maximum(kept[:, i], 1), 1))[:, None]
        elif stage.name in run.missing:
            assumed[stage.name] = "keeps all rows"
        elif i and _is_foreign(stage):
            assumed[stage.name] = f"keeps the share that it has kept of {plan.drawn.num_rows:,} rows"
    return kept, assumed


def _too_large(plan: Part, samples: Mapping[int, SampleAt], n_keys: Mapping[int, float]) -> dict[str, str]:
    """The stages that ask for more keys than reach them, at which a run stops."""
    found = {}
    for i, sample in samples.items():
        count = sample.size.count
        if count is not None and count > n_keys[i]:
            found[plan.stages[i].name] = (
                f"about {n_keys[i]:,.0f} keys reach it, and count is {count:,}: with fewer keys than it asks for, "
                "a run stops here"
            )
    return found


def _is_foreign(stage: Stage) -> bool:
    return ":" in stage.use and isinstance(load_operation(stage.use), GlobalOperation)


def _fates(plan: Part, run: DryRun, units: Units, place: IntArray, words: dict[str, int]) -> Fates:
    """What became of the drawn keys."""
    n = len(units.rows)
    kept: list[IntArray] = []
    domains: list[IntArray] = []
    for stage in plan.stages:
        if stage.name not in run.made:  # could not be run on a part
            kept.append(kept[-1])
            domains.append(domains[-1])
            continue
        rows = read_rows(kept_files(run.made, stage.name), ["id", "domain"])
        key = _keys_of(plan, place, rows)
        masks = np.zeros(n, np.int64)
        bits = pc.index_in(rows["domain"], pa.array(DOMAINS)).to_numpy()
        np.bitwise_or.at(masks, key, 1 << bits.astype(np.int64))
        kept.append(np.bincount(key, minlength=n))
        domains.append(masks)
    own = np.array([words[name] for name in units.categories] or [0], np.int64)[units.category]
    return Fates(own, units.domains, units.rows, np.stack(kept, axis=1), np.stack(domains, axis=1))


def _samples(plan: Part, run: DryRun, place: IntArray, n_keys: int) -> tuple[dict[int, SampleAt], dict[str, str]]:
    """The stages that sample; the strata of the first are those of the pool's columns, if they can be."""
    samples: dict[int, SampleAt] = {}
    assumed: dict[str, str] = {}
    for i, stage in enumerate(plan.stages):
        options = options_of(stage)
        if not isinstance(options, SampleRows) or stage.name in run.missing:
            continue
        is_first = not samples
        if is_first and plan.rule.unknown is None:
            samples[i] = SampleAt(options.size())
            continue
        before = next(one.name for one in reversed(plan.stages[:i]) if one.name in run.made)
        samples[i] = SampleAt(options.size(), _words(plan, run, before, options, place, n_keys))
        assumed[stage.name] = plan.rule.unknown or "" if is_first else "its keys are those of the first sample"
    return samples, assumed


def _words(plan: Part, run: DryRun, before: str, options: SampleRows, place: IntArray, n_keys: int) -> IntArray:
    """The stratum's word of each drawn key, of what its rows have before a stage."""
    rows = read_rows(kept_files(run.made, before), list(dict.fromkeys(["id", *options.strata])))
    key = _keys_of(plan, place, rows)
    words, code = coded_in_order(joined_words(rows, options.strata, "sample"))
    found = np.full(n_keys, len(words), np.int64)
    np.minimum.at(found, key, code)
    return found


def _keys_of(plan: Part, place: IntArray, rows: pa.Table) -> IntArray:
    """The drawn key of each of some rows; `place` is that of each drawn row."""
    ids = pc.fill_null(raw_ids(plan.drawn[plan.pool.columns["id"]].combine_chunks()), "")
    return np.asarray(place[pc.index_in(rows["id"], ids).to_numpy()])


def _rejected_by_answers(pool: RawPool, options: ApplyAnswers) -> int:
    """Rows that the stage `answers` rejects: those that labels name are few, and known."""
    named = pa.array(sorted(ids_in(read_labels(options.labels))), pa.string())
    names = [pool.columns[name] for name in ("id", "domain", "product_hint") if name in pool.columns]
    found = []
    for file in pool.files:
        with open_parquet(file.path) as opened:
            for batch in opened.iter_batches(_BATCH, columns=names):
                ids = raw_ids(batch[pool.columns["id"]])
                given = {"text": pa.nulls(len(ids), pa.string()), "product_hint": pa.nulls(len(ids), pa.string())}
                given |= {name: trimmed(batch[theirs]) for name, theirs in pool.columns.items() if theirs in names}
                found.append(pa.table(given | {"id": ids}).filter(pc.is_in(ids, named)))
    with tempfile.TemporaryDirectory(prefix="rope-plan-") as folder:
        path = Path(folder) / "named.parquet"
        pq.write_table(pa.concat_tables(found), path)
        return sum(outcome.rejects.num_rows for outcome in apply_answers([path], options))


def read_rows(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of some files, or some of their columns."""
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
