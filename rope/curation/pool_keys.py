"""The keys of a raw pool as `sample` will see them, counted by kind, and the rows of some of them drawn at random."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rope.addresses import is_address
from rope.arrays import IntArray
from rope.curation.codes import joined_words
from rope.curation.pipeline.ids import raw_ids, trimmed, without_views
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.pool import RawPool
from rope.curation.population import Kinds
from rope.curation.sampling.divided import divided_units
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.sample import PURPOSE, Units, key_rows, make_units
from rope.curation.sampling.stage import SampleRows, sample_keys
from rope.domain import DOMAINS
from rope.files import AnyPath

__all__ = ["KeyRule", "count_kinds", "draw_rows", "key_rule", "unit_of_rows"]

_PURPOSE: Final = "plan"
_BATCH: Final = 65_536


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What a key of raw rows is.

    Attributes:
        key: column whose values are keys; `id` where nothing draws keys, or what draws them is made by a stage.
        strata: columns of the pool that make the stratum of a key; none where they are made by a stage.
        unknown: what is made by a stage, in words for a reader; None where all is in the pool.
    """

    key: str = "id"
    strata: tuple[str, ...] = ()
    unknown: str | None = None


def key_rule(pool: RawPool, sample: SampleRows | None) -> KeyRule:
    """The rule of the first stage that samples; None where there is none."""
    if sample is None:
        return KeyRule()
    there = {*pool.columns, *pool.kept}
    if sample.key not in there | {"product_hint"}:  # rows have a product hint in any case
        return KeyRule(unknown=f"its keys, {sample.key}, are made by a stage, and each row counts as one")
    key = sample.key if sample.key in there else "id"
    if set(sample.strata) <= there | {"category"}:
        return KeyRule(key, tuple(name for name in sample.strata if name in there))
    return KeyRule(key, unknown=f"its strata, {', '.join(sample.strata)}, are made by a stage: rare ones lack")


def count_kinds(pool: RawPool, rule: KeyRule) -> tuple[Kinds, dict[str, int]]:
    """The keys of a pool by kind, and the place of each stratum's word.

    Each row is read once, of its columns those that matter; keys are divided on disk as for a sample.
    """
    words: dict[str, int] = {}
    counts = Counter[tuple[int, int, int]]()
    n_rows = sum(file.rows for file in pool.files)
    parts = (key_rows(*_keys(rows, pool, rule), seed=0) for rows in _tables(pool, rule))
    for units in divided_units(parts, n_rows):
        places = np.array([words.setdefault(name, len(words)) for name in units.categories], np.int64)
        kinds = np.stack([places[units.category], units.domains, units.rows])
        found, n = np.unique(kinds, axis=1, return_counts=True)
        counts.update(dict(zip(map(tuple, found.T.tolist()), n.tolist(), strict=True)))
    table = np.array([[*kind, n] for kind, n in sorted(counts.items())], np.int64).reshape(-1, 4)
    return Kinds(*(table[:, i] for i in range(4))), words


def draw_rows(pool: RawPool, share: float, rule: KeyRule, least: int) -> pa.Table:
    """The rows of the keys whose hashes are the lowest, in the order of the pool, with absolute paths.

    A larger share contains a smaller one. Rows without an id are drawn together or not at all.

    Args:
        pool: to draw from.
        share: of its keys.
        rule: what a key is.
        least: rows to draw about at least, or all.
    """
    share = min(1.0, max(share, least / max(sum(file.rows for file in pool.files), 1)))
    limit = math.ceil(share * 2**64)
    drawn = []
    for file in pool.files:
        with open_parquet(file.path) as opened:
            drawn.append(pa.table(without_views(pa.RecordBatch.from_pylist([], opened.schema_arrow))))
            for batch in map(without_views, opened.iter_batches(_BATCH)):
                hashes = keyed_hash(_keys(pa.table(batch), pool, rule)[0], seed=0, purpose=_PURPOSE)
                is_drawn = pa.array([int(value) < limit for value in hashes.tolist()], pa.bool_())
                drawn.append(pa.table(batch.filter(is_drawn)))
    rows = pa.concat_tables(drawn).replace_schema_metadata(None)
    for name in ("frames", "video", "paths"):
        if theirs := pool.columns.get(name):
            place = rows.schema.get_field_index(theirs)
            values = [_rooted(value, pool.root) for value in rows[theirs].to_pylist()]
            rows = rows.set_column(place, theirs, pa.array(values, rows.schema.field(theirs).type))
    return rows


def unit_of_rows(rows: pa.Table, pool: RawPool, rule: KeyRule) -> tuple[Units, IntArray]:
    """The keys of some raw rows, and the place of each row's among them; int64 [rows]."""
    keys, words, domains = _keys(rows, pool, rule)
    units = make_units(keys, words, domains, seed=0)
    return units, np.searchsorted(units.hashes, keyed_hash(keys, seed=0, purpose=PURPOSE))


def _tables(pool: RawPool, rule: KeyRule) -> Iterator[pa.Table]:
    names = {pool.columns.get(name, name) for name in ("id", "domain", rule.key, *rule.strata)}
    for file in pool.files:
        with open_parquet(file.path) as opened:
            for batch in opened.iter_batches(_BATCH, columns=sorted(names)):
                yield pa.table(without_views(batch))


def _keys(rows: pa.Table, pool: RawPool, rule: KeyRule) -> tuple[pa.ChunkedArray, pa.ChunkedArray, pa.ChunkedArray]:
    """The key, the word of the stratum, and the domain of each raw row, as the stages will see them.

    An unknown domain counts as `page`: its rows are not kept by the first stage anyway.
    """

    def given(name: str) -> pa.Array:
        column = rows[pool.columns.get(name, name)].combine_chunks()
        return trimmed(column) if name in pool.columns else column

    ids = pc.fill_null(raw_ids(rows[pool.columns["id"]].combine_chunks()), "")
    domain = given("domain")
    domain = pc.if_else(pc.fill_null(pc.is_in(domain, pa.array(DOMAINS)), False), domain, "page")
    seen = pa.table({"id": ids, "domain": domain, "key": ids if rule.key == "id" else given(rule.key)})
    strata = pa.table({name: given(name) for name in rule.strata}) if rule.strata else seen
    return sample_keys(seen, "key"), joined_words(strata, rule.strata, "sample"), seen["domain"]


def _rooted(value: Any, root: AnyPath) -> Any:  # noqa: ANN401  what a pool may hold
    """The same media with absolute paths.

    >>> from pathlib import Path
    >>> _rooted([{"bytes": None, "path": "a.jpg"}, "/b.jpg", None], Path("/pool"))
    [{'bytes': None, 'path': '/pool/a.jpg'}, '/b.jpg', None]
    """
    if isinstance(value, list):
        return [_rooted(one, root) for one in value]
    if isinstance(value, dict):
        return value | {"path": _rooted(value.get("path"), root)}
    return str(root / value) if isinstance(value, str) and value and not is_address(value) else value
