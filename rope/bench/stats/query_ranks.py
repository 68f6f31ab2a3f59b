"""Per-query ranks: what intervals, comparisons and slices are computed from, without the embeddings.

Queries are kept in canonical order, by product id and then by query id, so that nothing computed from them depends on
the order of rows in the file.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import FloatArray, IntArray
from rope.bench.io.provenance import Provenance
from rope.bench.metrics import KS, expected_at_random, mean
from rope.bench.score import PROTOCOL_VERSION, Score
from rope.domain import SPLITS, DomainName, Split, all_pairs, cross_domain_pairs, domains_of, pair_of
from rope.errors import UsageError
from rope.files import check_file, reading_file, sha256_of

__all__ = [
    "METRICS",
    "RANKS_SCHEMA",
    "PairRanks",
    "QueryRanks",
    "RanksProvenance",
    "chance_in_galleries",
    "cutoff_of",
    "load_ranks",
    "query_values",
    "ranks_of",
    "read_ranks",
]

METRICS: Final = (*(f"R@{k}" for k in KS), *(f"recall@{k}" for k in KS), "MRR", "mAP")
"""The metrics that are means over queries, as results call them; all lie between 0 and 1."""


_RESULT: Final = "a result of rope-bench score --json"
_HITS: Final = tuple(f"hits_at_{k}" for k in KS)
_INTEGERS: Final = ("n_positives", "rank", "rank_optimistic", *_HITS)
_STRINGS: Final = ("pair", "query_id", "product_id")

RANKS_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in _STRINGS),
        *((name, pa.int64()) for name in _INTEGERS),
        ("average_precision", pa.float64()),
    ]
)
"""The columns of a file of ranks, in any order."""


@dataclass(frozen=True, slots=True)
class RanksProvenance:
    """What was scored, on what: two results can be compared if dataset, split and protocol agree.

    Attributes:
        model: name of the embedder, or of the files.
        dataset: name of the dataset.
        fingerprint: of the dataset, from its manifest.
        split: the split that was scored.
        protocol: version of the protocol.
        training_seed: of the training run that made the model; None where the result does not say.
        embeddings: domain -> SHA-256 of its ids and vectors; the same in all domains only for the same run.
        candidates: SHA-256 of the file of re-ranked candidates; None where the numbers are of no second stage.
    """

    model: str
    dataset: str
    fingerprint: str
    split: Split
    protocol: str
    training_seed: int | None = None
    embeddings: Mapping[DomainName, str] = field(default_factory=dict)
    candidates: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PairRanks:
    """The queries of one pair that have a positive, in canonical order; arrays of one length.

    Attributes:
        query_ids: the sample id of each query.
        products: int64, ascending, the index of each query's product in `QueryRanks.product_ids`.
        n_positives: int64, gallery samples of the query's product.
        rank: int64, 1 + negatives at least as similar as the best positive.
        rank_optimistic: int64, 1 + negatives strictly more similar than the best positive.
        average_precision: float64 in (0, 1].
        hits: int64 [n, len(KS)], how many positives are among the first k.
    """

    query_ids: list[str]
    products: IntArray
    n_positives: IntArray
    rank: IntArray
    rank_optimistic: IntArray
    average_precision: FloatArray
    hits: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class QueryRanks:
    """The ranks of one model on one split.

    Attributes:
        origin: what was scored.
        product_ids: in code-point order, every product that a query is of.
        pairs: `P2V` and so on -> its queries; the cross-domain pairs of the dataset, then those same-domain pairs that
            have any.
        by_chance: pair -> k -> R@k of an order drawn at random, the same for every model; a pair is not there where a
            result of an earlier version does not say.
    """

    origin: RanksProvenance
    product_ids: list[str]
    pairs: dict[str, PairRanks]
    by_chance: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def cross_pairs(self) -> tuple[str, ...]:
        """The names of the cross-domain pairs, in order."""
        return tuple(pair.name for pair in cross_domain_pairs(domains_of(self.pairs)) if pair.name in self.pairs)

    @property
    def compared_pairs(self) -> tuple[str, ...]:
        """The pairs that models are compared on: the cross-domain ones, or that of a dataset of one domain."""
        return self.cross_pairs or tuple(self.pairs)


def query_values(pair: PairRanks, metric: str) -> FloatArray:
    """What each query scored in one of `METRICS`: float64 [n] between 0 and 1.

    Raises:
        UsageError: the metric is unknown.
    """
    name, _, k = metric.partition("@")
    if metric not in METRICS:
        raise UsageError(f"no metric is called {metric!r}; there are {', '.join(METRICS)}")
    if name == "R":
        return (pair.rank <= int(k)).astype(np.float64)
    if name == "recall":
        return pair.hits[:, KS.index(int(k))] / pair.n_positives
    return 1 / pair.rank if metric == "MRR" else pair.average_precision


def cutoff_of(metric: str) -> int | None:
    """The k of R@k; None for a metric of which nobody has written down what chance comes to.

    >>> cutoff_of("R@10"), cutoff_of("recall@10"), cutoff_of("MRR")
    (10, None, None)
    """
    return int(metric.removeprefix("R@")) if metric.startswith("R@") else None


def chance_in_galleries(ranks: QueryRanks, n_gallery: Mapping[str, int]) -> dict[str, dict[int, float]]:
    """Pair -> k -> R@k of an order drawn at random, where all queries of a pair share a gallery.

    Args:
        ranks: of any model.
        n_gallery: pair -> gallery samples, the query itself among them in its own domain.
    """
    found = {}
    for name, pair in ranks.pairs.items():
        of = pair_of(name)
        n = np.full_like(pair.n_positives, n_gallery[name] - int(of.query == of.gallery))
        found[name] = {k: expected_at_random(pair.n_positives, n, k) for k in KS}
    return found


def ranks_of(score: Score, provenance: Provenance) -> QueryRanks:
    """The ranks of a score that is still in memory; the same as after `write_ranks` and `read_ranks`."""
    origin = RanksProvenance(
        provenance.model,
        provenance.dataset,
        provenance.fingerprint,
        provenance.split,
        PROTOCOL_VERSION,
        provenance.training_seed,
        {domain: note.sha256 for domain, note in provenance.embeddings.items()},
        None if provenance.rerank is None else provenance.rerank.sha256,
    )
    columns = {
        name: {
            "query_id": pair.query_ids,
            "product_id": pair.query_products,
            "average_precision": pair.queries.average_precision,
            "n_positives": pair.queries.n_positives,
            "rank": pair.queries.rank,
            "rank_optimistic": pair.queries.rank_optimistic,
            **{column: pair.queries.hits[:, i] for i, column in enumerate(_HITS)},
        }
        for name, pair in score.pairs.items()
        if pair.n_queries
    }
    by_chance = {name: pair.at_random for name, pair in score.pairs.items() if pair.at_random}
    return replace(_assemble(origin, columns), by_chance=by_chance)


def load_ranks(result: Path) -> QueryRanks:
    """Read the ranks that belong to a result, from the file next to it that it names.

    Args:
        result: the JSON that `rope-bench score --json` wrote.

    Raises:
        UsageError: it was written without its ranks, they are not where it says or have changed, or as `read_ranks`.
    """
    named = _read_result(result).get("ranks")
    if not isinstance(named, dict):
        raise UsageError(f"{result}: names no file of ranks; score again with --json {result}")
    path = result.parent / Path(str(named.get("file"))).name
    if not path.is_file():
        raise UsageError(f"{result}: its ranks, {path}, are not there; keep the two files together, or score again")
    if sha256_of(path) != named.get("sha256"):
        raise UsageError(f"{path}: not the ranks that {result} was written with; score again")
    return read_ranks(path, result)


def read_ranks(path: Path, result: Path) -> QueryRanks:
    """Read the ranks that `rope-bench score --save-ranks` wrote, with the result of the same run.

    Args:
        path: the Parquet file of ranks.
        result: the JSON that `--json` wrote in the same run: a ranks file does not say what it was scored on.

    Raises:
        UsageError: a file does not exist or is something else, a value is out of range, a query occurs twice, or the
            two files are not of one run (a pair differs in its number of queries or in R@1).
    """
    raw = _read_result(result)
    with reading_file(result, _RESULT):
        origin = _origin(raw, result)
        if wrong := [
            text
            for text in (origin.model, origin.dataset, origin.fingerprint, origin.protocol)
            if not isinstance(text, str)
        ]:
            raise TypeError(f"{str(wrong[0])[:40]} instead of a name")
    table = _read_table(path)
    columns = {}
    names = table["pair"]
    for name in _pair_names(names, path):
        rows = table.filter(pc.equal(names, name))
        if rows.num_rows:
            columns[name] = {field: _column(rows, field) for field in rows.column_names if field != "pair"}
    ranks = _assemble(origin, columns)
    for name, pair in ranks.pairs.items():
        _check_pair(pair, f"{path}: {name}")
    with reading_file(result, _RESULT):
        _check_same_run(ranks, raw, path, result)
        return replace(ranks, by_chance=_by_chance(ranks, raw))


def _by_chance(ranks: QueryRanks, raw: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """As the result says; one of an earlier version tells it where queries share a gallery, as one-shot does too."""
    if "by_chance" in raw:
        return {name: {k: float(of[f"R@{k}"]) for k in KS} for name, of in raw["by_chance"].items()}
    if not raw.get("one_shot"):
        return {}
    return chance_in_galleries(ranks, {name: raw["pairs"][name]["n_gallery"] for name in ranks.pairs})


def _pair_names(column: pa.ChunkedArray, path: Path) -> list[str]:
    """The pairs of the domains that a file is of, in order."""
    try:
        return [pair.name for pair in all_pairs(domains_of(pc.unique(column).to_pylist()))]
    except ValueError as error:
        raise UsageError(f"{path}: {error}; score again") from error


def _read_result(path: Path) -> dict[str, Any]:
    check_file(path, "the JSON that rope-bench score --json writes")
    with reading_file(path, _RESULT):
        raw = json.loads(path.read_text("utf-8"))
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: not a result of rope-bench score --json: expected an object at the top")
    if "task" in raw:
        raise UsageError(
            f"{path}: a result of the task {str(raw['task'])!r}, for which no ranks of single queries are kept; "
            "expected one of the pairs of domains, which rope-bench score and run write with --json"
        )
    return raw


def _origin(raw: Mapping[str, Any], path: Path) -> RanksProvenance:
    try:
        dataset, version = raw["dataset"], raw["protocol"]["version"]
        split = next(split for split in SPLITS if split == dataset["split"])
        hashes = {domain: str(note["sha256"]) for domain, note in raw.get("embeddings", {}).items()}
        names = (raw["model"], dataset["name"], dataset["fingerprint"])
        candidates = raw["rerank"]["candidates"]["sha256"] if "rerank" in raw else None
        return RanksProvenance(*names, split, version, _training_seed(raw, path), hashes, candidates)
    except (AttributeError, KeyError, TypeError, StopIteration) as error:
        raise UsageError(
            f"{path}: not a result of rope-bench score --json: it does not say which model, dataset, split and "
            "version of the protocol it is of"
        ) from error


def _training_seed(raw: Mapping[str, Any], path: Path) -> int | None:
    """The seed in a result; results of earlier versions name none."""
    seed = raw.get("training_seed")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise UsageError(f"{path}: training_seed is {seed!r}, expected a whole number from 0, or null")
    return seed


def _read_table(path: Path) -> pa.Table:
    """The table with exactly the columns wanted, of the types wanted, and without nulls."""
    schema = RANKS_SCHEMA
    check_file(path, "what rope-bench score --save-ranks writes")
    with reading_file(path, "Parquet"), pq.ParquetFile(path) as file:
        present = [name for name in schema.names if file.schema_arrow.names.count(name) == 1]
        table = file.read(columns=present)
    wrong = [name for name in schema.names if name not in present]
    wrong += [field.name for field in table.schema if field.type != schema.field(field.name).type]
    wrong += [name for name in table.column_names if table[name].null_count]
    if wrong:
        raise UsageError(
            f"{path}: not a file of ranks: {', '.join(wrong)} missing, there twice, of another type, or with nulls; "
            "make one with rope-bench score --save-ranks"
        )
    return table


def _column(rows: pa.Table, name: str) -> Any:  # noqa: ANN401 (a list of strings or an array of numbers)
    return rows[name].to_pylist() if name in _STRINGS else rows[name].to_numpy()


def _assemble(origin: RanksProvenance, columns: Mapping[str, Mapping[str, Any]]) -> QueryRanks:
    """Number the products of all pairs alike, and put the queries of each pair in canonical order."""
    product_ids = sorted({product for pair in columns.values() for product in pair["product_id"]})
    number = {product: i for i, product in enumerate(product_ids)}
    pairs = {}
    for name, pair in columns.items():
        products = np.array([number[product] for product in pair["product_id"]], np.int64)
        order = _canonical_order(pair["query_id"], products)
        pairs[name] = PairRanks(
            query_ids=[pair["query_id"][i] for i in order],
            products=products[order],
            n_positives=pair["n_positives"][order],
            rank=pair["rank"][order],
            rank_optimistic=pair["rank_optimistic"][order],
            average_precision=pair["average_precision"][order],
            hits=np.stack([pair[column][order] for column in _HITS], axis=1),
        )
    return QueryRanks(origin, product_ids, pairs)


def _canonical_order(query_ids: Sequence[str], products: IntArray) -> IntArray:
    by_id = np.array(sorted(range(len(query_ids)), key=query_ids.__getitem__), np.int64)
    return by_id[np.argsort(products[by_id], kind="stable")]


def _check_pair(pair: PairRanks, where: str) -> None:
    """Refuse values that no ranking gives."""
    bad = (pair.rank_optimistic < 1) | (pair.rank < pair.rank_optimistic) | (pair.n_positives < 1)
    bad |= ~((pair.average_precision > 0) & (pair.average_precision <= 1))
    steps = np.diff(pair.hits, axis=1, prepend=0)
    bad |= (steps < 0).any(axis=1) | (pair.hits[:, -1] > pair.n_positives)
    bad |= ((pair.hits > 0) != (pair.rank[:, None] <= np.array(KS))).any(axis=1)
    if bad.any():
        query = pair.query_ids[int(np.flatnonzero(bad)[0])]
        raise UsageError(f"{where}: query {query!r} has ranks or hits that contradict each other; score again")
    query, n = Counter(pair.query_ids).most_common(1)[0]
    if n > 1:
        raise UsageError(f"{where}: query {query!r} occurs {n} times; score again")


def _check_same_run(ranks: QueryRanks, raw: Mapping[str, Any], path: Path, result: Path) -> None:
    reported = {name: pair for name, pair in raw.get("pairs", {}).items() if pair.get("n_queries")}
    missing = [name for name in reported if name not in ranks.pairs]
    if missing:
        raise UsageError(
            f"the ranks of {ranks.origin.model} lack {', '.join(missing)}, and every pair is part of the result"
        )
    for name in sorted({*reported, *ranks.pairs}):
        told = (reported[name]["n_queries"], reported[name]["R@1"]) if name in reported else (0, None)
        pair = ranks.pairs.get(name)
        found = (len(pair.rank), mean(pair.rank <= 1)) if pair is not None else (0, None)
        if told != found:
            raise UsageError(
                f"{path} and {result} are not of one run: {name} has {found[0]} queries and R@1 {found[1]} in the "
                f"first, {told[0]} and {told[1]} in the second; give the two files that one rope-bench score wrote"
            )
