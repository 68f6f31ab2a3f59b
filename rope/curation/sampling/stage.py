"""Keep an exact, stratified sample of products, with the weight of each row; see `rope.curation.sampling.sample`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import FloatArray
from rope.config import Count, PositiveFraction, Seed, check_record
from rope.curation.codes import joined_words
from rope.curation.pipeline.operation import NOT_SAMPLED, Earlier, GlobalOperation, Outcome, one_batch, rejects_of
from rope.curation.sampling.continued import EARLIER_KEY, ContinuedDraw, EarlierSample
from rope.curation.sampling.divided import divided_draws, divided_weights
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.sample import PURPOSE, KeyRows, SampleSize, key_rows
from rope.errors import UsageError

__all__ = ["SAMPLE", "SampleRows", "sample_after", "sample_keys", "sample_rows"]

_RUN: Final = "sampled_in"
"""Column, where there is a previous run: which run has drawn a row; null for this one."""


@dataclass(frozen=True, slots=True)
class SampleRows:
    """Options of the operation `sample`.

    Attributes:
        seed: a larger sample with the same seed and floor contains a smaller one.
        rate: share of the keys of each stratum; give this or `count`.
        count: number of keys.
        floor: keys of a stratum that are drawn at least, or all it has.
        key: column whose values are in or out as a whole; a row where it is null is its own key.
        strata: columns whose values, with the set of domains, make a stratum.

    Raises:
        UsageError: both or none of `rate` and `count` are given, or a number is out of range.
    """

    seed: Seed
    rate: PositiveFraction | None = None
    count: Count | None = None
    floor: Count = 2
    key: str = "product_hint"
    strata: list[str] = field(default_factory=lambda: ["category"])

    def __post_init__(self) -> None:
        check_record(self)
        self.size()

    def size(self) -> SampleSize:
        """The same as `rope.curation.sampling.sample` wants it."""
        return SampleSize(self.rate, self.count, self.floor)


def sample_rows(paths: Sequence[Path], options: SampleRows) -> Iterator[Outcome]:
    """Keep the rows of the drawn keys, and add `weight`: how many keys of the pool the row's key stands for.

    The others are `NOT_SAMPLED`. Which rows are kept does not depend on their order, or on the files they are in.

    Raises:
        UsageError: there is no column of keys, or `count` does not fit the pool.
    """
    weights = divided_weights((_key_rows(path, options) for path in paths), _n_rows(paths), options.size())
    for path, weight in zip(paths, weights, strict=True):
        yield Outcome(*_parted(pq.read_table(path), weight))


def sample_after(paths: Sequence[Path], options: SampleRows, earlier: Earlier) -> Iterator[Outcome]:
    """The same after an earlier sample, whose keys stay; see `rope.curation.sampling.continued`.

    Also adds `sampled_in`, the run that has drawn the row; null for this one.

    Raises:
        UsageError: there is no column of keys, or `count` does not fit the pool and what stays.
    """
    runs = _runs(earlier)
    draw = ContinuedDraw(EarlierSample(_earlier_keys(earlier, options, runs), options.size()))
    told = divided_draws((_key_rows(path, options) for path in paths), _n_rows(paths), draw)
    for path, of_rows in zip(paths, told, strict=True):
        run = of_rows["run"].astype(np.int64)
        names = pa.array(runs, pa.string()).take(pa.array(run, mask=run < 0))
        kept, rejects = _parted(pq.read_table(path).append_column(_RUN, names), of_rows["weight"])
        counts = {"kept": draw.n_kept, "gone": draw.n_gone, "new": draw.n_drawn - draw.n_kept}
        yield Outcome(kept, rejects, {"keys of the sample": {"previous run": earlier.run, **counts}})


def _parted(table: pa.Table, weight: FloatArray) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The drawn rows, with their weights, and the others."""
    is_drawn = pa.array(weight > 0)
    others = one_batch(table.select(["id", "domain"]).filter(pc.invert(is_drawn)))
    kept = table.append_column("weight", pa.array(weight, pa.float64())).filter(is_drawn)
    return one_batch(kept), rejects_of(others, NOT_SAMPLED)


def _runs(earlier: Earlier) -> list[str]:
    """The runs that have drawn rows of an earlier sample, in the order of their names."""
    found = {earlier.run}
    for path in earlier.kept:
        if _RUN in pq.read_schema(path).names:
            found |= set(pc.drop_null(pc.unique(pq.read_table(path, columns=[_RUN])[_RUN])).to_pylist())
    return sorted(found)


def _earlier_keys(earlier: Earlier, options: SampleRows, runs: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
    """The keys of an earlier pool, and those of its sample once more, with their weights and runs."""
    for path in earlier.given:
        yield _keys_seen(_read(path, options), options)
    for path in earlier.kept:
        more = [name for name in ("weight", _RUN) if name in pq.read_schema(path).names]
        rows = _read(path, options, more)
        keys = _keys_seen(rows, options)
        names = rows[_RUN] if _RUN in more else pa.nulls(len(rows), pa.string())
        keys["weight"] = rows["weight"].to_numpy()
        keys["run"] = pc.index_in(pc.fill_null(names, earlier.run), pa.array(runs, pa.string())).to_numpy()
        yield keys


def _keys_seen(rows: pa.Table, options: SampleRows) -> npt.NDArray[Any]:
    keys = np.zeros(len(rows), EARLIER_KEY)
    keys["hash"], keys["run"] = keyed_hash(sample_keys(rows, options.key), seed=options.seed, purpose=PURPOSE), -1
    return keys


def _n_rows(paths: Sequence[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def _key_rows(path: Path, options: SampleRows) -> KeyRows:
    rows = _read(path, options)
    strata = joined_words(rows, options.strata, "sample")
    return key_rows(sample_keys(rows, options.key), strata, rows["domain"], seed=options.seed)


def _read(path: Path, options: SampleRows, more: Sequence[str] = ()) -> pa.Table:
    names = pq.read_schema(path).names
    wanted = list(dict.fromkeys(["id", "domain", options.key, *options.strata, *more]))
    if missing := [name for name in wanted if name not in names]:
        raise UsageError(f"sample: no column {missing[0]!r}; the rows have {', '.join(names)}")
    return pq.read_table(path, columns=wanted)


def sample_keys(rows: pa.Table, key: str) -> pa.ChunkedArray:
    """Key of each row. A row without one is named by domain and id, and no value of the column can be the same.

    >>> rows = pa.table({"id": ["7", "7"], "domain": ["page", "live"], "product_hint": ["7", None]})
    >>> sample_keys(rows, "product_hint").to_pylist()
    ['key/7', 'live/7']
    """
    own = pc.binary_join_element_wise(rows["domain"], rows["id"], "/")
    given = pc.binary_join_element_wise("key", pc.cast(rows[key], pa.string()), "/")
    return pc.coalesce(given, own)


SAMPLE: Final = GlobalOperation(
    version=1, options=SampleRows, apply=sample_rows, apply_after=sample_after, settled=("key", "strata")
)
