"""Keep an exact, stratified sample of products, with the weight of each row; see `rope.curation.sampling.sample`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.config import Count, PositiveFraction, Seed, check_record
from rope.curation.codes import joined_words
from rope.curation.pipeline.operation import NOT_SAMPLED, GlobalOperation, Outcome, rejects_of
from rope.curation.sampling.divided import divided_weights
from rope.curation.sampling.sample import KeyRows, SampleSize, key_rows
from rope.errors import UsageError

__all__ = ["SAMPLE", "SampleRows", "sample_rows"]


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
    size = options.size()
    n_rows = sum(pq.read_metadata(path).num_rows for path in paths)
    weights = divided_weights((_key_rows(path, options) for path in paths), n_rows, size)
    for path, weight in zip(paths, weights, strict=True):
        table = pq.read_table(path)
        is_drawn = pa.array(weight > 0)
        others = _one_batch(table.select(["id", "domain"]).filter(pc.invert(is_drawn)))
        kept = table.append_column("weight", pa.array(weight, pa.float64())).filter(is_drawn)
        yield Outcome(_one_batch(kept), rejects_of(others, NOT_SAMPLED))


def _key_rows(path: Path, options: SampleRows) -> KeyRows:
    rows = _read(path, options)
    strata = joined_words(rows, options.strata, "sample")
    return key_rows(_keys(rows, options.key), strata, rows["domain"], seed=options.seed)


def _read(path: Path, options: SampleRows) -> pa.Table:
    names = pq.read_schema(path).names
    wanted = list(dict.fromkeys(["id", "domain", options.key, *options.strata]))
    if missing := [name for name in wanted if name not in names]:
        raise UsageError(f"sample: no column {missing[0]!r}; the rows have {', '.join(names)}")
    return pq.read_table(path, columns=wanted)


def _keys(rows: pa.Table, key: str) -> pa.ChunkedArray:
    """Key of each row. A row without one is named by domain and id, and no value of the column can be the same.

    >>> rows = pa.table({"id": ["7", "7"], "domain": ["page", "live"], "product_hint": ["7", None]})
    >>> _keys(rows, "product_hint").to_pylist()
    ['key/7', 'live/7']
    """
    own = pc.binary_join_element_wise(rows["domain"], rows["id"], "/")
    given = pc.binary_join_element_wise("key", pc.cast(rows[key], pa.string()), "/")
    return pc.coalesce(given, own)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


SAMPLE: Final = GlobalOperation(version=1, options=SampleRows, apply=sample_rows)
