"""What a split still gives away: pairs across it that are too near, or that share media, a session or a title.

The search for near pairs is checked in every audit: *canaries*, copies of training vectors turned by a known angle, are
put among the validation vectors, and the audit says how many of them the search has found.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import IntArray
from rope.curation.dedup.measured_search import at_least
from rope.curation.dedup.neighbours import DECIMALS, NearPairs, near_pairs_between
from rope.curation.pipeline.recipe import LeakKind
from rope.domain import DOMAINS, LETTER_OF, Domain
from rope.errors import DatasetError, EmbeddingError, UsageError

__all__ = [
    "KINDS",
    "LEAK_SCHEMA",
    "SHARED",
    "LeakAudit",
    "Recall",
    "Search",
    "SplitSide",
    "audit_leaks",
    "exact_search",
    "index_search",
    "to_markdown",
]

Vectors = npt.NDArray[np.float32]

LEAK_SCHEMA: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("validation_domain", pa.string()),
        ("train_domain", pa.string()),
        ("validation_id", pa.string()),
        ("train_id", pa.string()),
        ("pairs", pa.int64()),
        ("cosine", pa.float64()),
    ]
)
"""One row for each near pair; and for each validation sample that shares something with training samples of a domain,
one with the first of these by id. `pairs` says how often: 1 for a near pair, else the number of training samples, each
as often as it shares something (two equal frames count twice); `cosine` is null unless near."""

KINDS: Final = get_args(LeakKind)
"""All kinds of leaks."""

SHARED: Final = KINDS[1:]
"""What samples may share, in the order of the table."""

_LIMIT: Final = 50
"""Neighbours that the search reports of one sample; more of them are not news."""

_PROBES: Final = 16
"""Clusters that the index looks into; validation samples are few, so that this costs little."""

_SAMPLED: Final = 1000
"""Validation samples of each pair of domains that are compared with everything, where the search does not."""

Search = Callable[[Vectors, Vectors, float], NearPairs]
"""Pairs of a row of the first and a row of the second array with at least this cosine."""


@dataclass(frozen=True, slots=True)
class SplitSide:
    """The samples of one side of a split, n rows.

    Attributes:
        ids: strings [n], unique inside a domain.
        domains: names of `DOMAINS` [n].
        vectors: float32 [n, dim], not zero; None where samples have none, and then near pairs are not searched.
        shared: a kind of `SHARED` -> Arrow lists of strings [n], null or empty where a sample has none.

    Raises:
        DatasetError: the columns differ in length.
        EmbeddingError: a vector is zero or not finite.
        UsageError: a kind is not in `SHARED`.
    """

    ids: Sequence[str]
    domains: Sequence[Domain]
    vectors: Vectors | None
    shared: Mapping[str, pa.Array | pa.ChunkedArray]

    def __post_init__(self) -> None:
        lengths = {"ids": len(self.ids), "domains": len(self.domains)}
        lengths |= {} if self.vectors is None else {"vectors": len(self.vectors)}
        lengths |= {kind: len(values) for kind, values in self.shared.items()}
        if len(set(lengths.values())) > 1:
            raise DatasetError(f"the columns of the samples differ in length: {lengths}")
        if unexpected := sorted(set(self.shared) - set(SHARED)):
            raise UsageError(f"unknown kind of shared value {unexpected[0]!r}; expected {', '.join(SHARED)}")
        norms = np.ones(0) if self.vectors is None else np.linalg.norm(np.asarray(self.vectors, np.float64), axis=1)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            raise EmbeddingError(
                f"{len(bad)} vectors are zero or not finite, the first of them that of {self.domains[bad[0]]} "
                f"{self.ids[bad[0]]!r}; leave these samples out, or embed them again"
            )


@dataclass(frozen=True, slots=True)
class Recall:
    """How many canaries the search has found.

    Attributes:
        validation_domain: of the queries.
        train_domain: of what the canaries copy.
        found: canaries whose original was among their neighbours.
        canaries: all of them; 0 where near pairs were not searched.
        pairs: of random validation samples that were compared with all training samples; 0 where the search itself
            compares everything.
        pairs_found: those of them that the search has found.
    """

    validation_domain: Domain
    train_domain: Domain
    found: int
    canaries: int
    pairs: int = 0
    pairs_found: int = 0

    @property
    def at_least(self) -> float:
        """The recall of canaries that is exceeded with 95 % confidence; 0 without canaries."""
        return at_least(self.found, self.canaries)


@dataclass(frozen=True, slots=True)
class LeakAudit:
    """The leaks, and how good the search for near pairs was.

    Attributes:
        leaks: in `LEAK_SCHEMA`, ordered by all its columns; of a sample with more than 50 near ones the 50 nearest.
        waived: leaks of samples that somebody has looked at and lets pass, in the same form.
        recalls: of each pair of domains that both sides have.
        threshold: cosine from which on a pair is near; None where near pairs were not searched.
    """

    leaks: pa.Table
    waived: pa.Table
    recalls: tuple[Recall, ...]
    threshold: float | None

    def leaking(self) -> dict[str, int]:
        """Kind, `near` or one of `SHARED` -> validation samples with a leak of this kind that was not waived."""
        samples = self.leaks.group_by(["kind", "validation_domain", "validation_id"]).aggregate([])
        found = {row["values"]: row["counts"] for row in samples["kind"].value_counts().to_pylist()}
        return {kind: found.get(kind, 0) for kind in KINDS}


def exact_search(queries: Vectors, gallery: Vectors, threshold: float) -> NearPairs:
    """All pairs, by comparing everything with everything; at most 50 of a row."""
    return near_pairs_between(queries, gallery, threshold, limit=_LIMIT, method="exact")


def index_search(queries: Vectors, gallery: Vectors, threshold: float) -> NearPairs:
    """The pairs that an index finds (`rope-bench[faiss]`); at most 50 of a row."""
    return near_pairs_between(queries, gallery, threshold, limit=_LIMIT, method="ivf", probes=_PROBES)


def audit_leaks(
    validation: SplitSide,
    train: SplitSide,
    *,
    threshold: float | None,
    seed: int,
    n_canaries: int = 200,
    waived: Collection[str] = (),
    search: Search = exact_search,
) -> LeakAudit:
    """Look for pairs of a validation and a training sample that give one another away.

    The result does not depend on the order of the samples.

    Args:
        validation: its samples.
        train: its samples.
        threshold: cosine, looser than that of merging; above 0 and at most 1. None searches no near pairs, and then
            neither side needs vectors.
        seed: of the canaries.
        n_canaries: for each pair of domains, at least 1; their cosines with their originals spread evenly from the
            threshold to 1.
        waived: ids of validation samples whose leaks are known and let pass.
        search: finds the near pairs.

    Raises:
        UsageError: a number is out of range, or a side has no vectors to search.
    """
    if n_canaries < 1:
        raise UsageError(f"n_canaries is {n_canaries}; expected at least 1, as a search is not trusted unseen")
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold}; expected above 0 and at most 1")
    if threshold is not None and (validation.vectors is None or train.vectors is None):
        raise UsageError(f"threshold is {threshold}, but samples have no vectors; expected None, or vectors")
    tables, recalls = [LEAK_SCHEMA.empty_table()], []
    rows_of = {domain: (_of_domain(validation, domain), _of_domain(train, domain)) for domain in DOMAINS}
    for a, b in product(DOMAINS, DOMAINS):
        first, second = rows_of[a][0], rows_of[b][1]
        if not (len(first) and len(second)):
            continue
        if threshold is None:
            recalls.append(Recall(a, b, 0, 0))
            continue
        rng = np.random.default_rng([seed, DOMAINS.index(a), DOMAINS.index(b)])
        pairs, counts = _near_leaks(validation, train, first, second, threshold, n_canaries, rng, search)
        tables.append(pairs)
        recalls.append(Recall(a, b, counts[0], n_canaries, *counts[1:]))
    for kind in SHARED:
        if kind in validation.shared and kind in train.shared:
            tables.append(_sharing(kind, validation, train))
    leaks = pa.concat_tables(tables).sort_by([(name, "ascending") for name in LEAK_SCHEMA.names])
    is_waived = pc.is_in(leaks["validation_id"], pa.array(sorted(waived), pa.string()))
    return LeakAudit(leaks.filter(pc.invert(is_waived)), leaks.filter(is_waived), tuple(recalls), threshold)


def to_markdown(audit: LeakAudit) -> str:
    """The audit as a section of a dataset card: leaks per pair of domains and kind, and the search's own recall.

    >>> nothing = LEAK_SCHEMA.empty_table()
    >>> print(to_markdown(LeakAudit(nothing, nothing, (Recall("page", "live", 200, 200),), 0.9)))
    | validation → train | cosine ≥ 0.9 | same media | same session | same title | recall of the search |
    |---|---|---|---|---|---|
    | P → L | 0 | 0 | 0 | 0 | 200 of 200 canaries, at least 98.5 % |
    <BLANKLINE>
    Nothing was waived.
    """
    counts = _counts(audit.leaks)
    found = {(recall.validation_domain, recall.train_domain): recall for recall in audit.recalls}
    kinds = KINDS if audit.threshold is not None else SHARED
    near = "" if audit.threshold is None else f"cosine ≥ {audit.threshold:g}"
    head = ["validation → train", *(near if kind == "near" else f"same {kind}" for kind in kinds)]
    rows = [[*head, "recall of the search"]]
    for pair, recall in found.items():
        numbers = [f"{counts.get((kind, *pair), 0):,}" for kind in kinds]
        rows.append([f"{LETTER_OF[pair[0]]} → {LETTER_OF[pair[1]]}", *numbers, _recall_text(recall)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    n_waived = sum(_counts(audit.waived).values())
    return "\n".join([*lines, "", f"{n_waived:,} further pairs were waived." if n_waived else "Nothing was waived."])


def _recall_text(recall: Recall) -> str:
    if not recall.canaries:
        return "near pairs were not searched"
    share = np.floor(recall.at_least * 1000) / 10
    pairs = f"; {recall.pairs_found:,} of {recall.pairs:,} pairs of random samples" if recall.pairs else ""
    return f"{recall.found:,} of {recall.canaries:,} canaries, at least {share:g} %{pairs}"


def _counts(leaks: pa.Table) -> dict[tuple[str, str, str], int]:
    """Pairs of each kind, validation domain and training domain."""
    grouped = leaks.group_by(["kind", "validation_domain", "train_domain"]).aggregate([("pairs", "sum")])
    return {tuple(row.values())[:3]: row["pairs_sum"] for row in grouped.to_pylist()}


def _of_domain(side: SplitSide, domain: Domain) -> IntArray:
    """Rows of one domain in the order of their ids."""
    rows = [i for i, name in enumerate(side.domains) if name == domain]
    return np.array(sorted(rows, key=lambda i: side.ids[i]), np.int64)


def _near_leaks(
    validation: SplitSide,
    train: SplitSide,
    first: IntArray,
    second: IntArray,
    threshold: float,
    n_canaries: int,
    rng: np.random.Generator,
    search: Search,
) -> tuple[pa.Table, tuple[int, int, int]]:
    """The near pairs of two domains; and how many canaries were found, sampled pairs there are, and were found."""
    assert validation.vectors is not None
    assert train.vectors is not None
    queries, gallery = validation.vectors[first], train.vectors[second]
    origin = rng.integers(len(second), size=n_canaries)
    canaries = _turned(gallery[origin], np.linspace(min(threshold + 10.0**-DECIMALS, 1.0), 1.0, n_canaries), rng)
    found = search(np.concatenate([queries, canaries]), gallery, threshold)
    is_real = found.left < len(first)
    caught = set(zip((found.left[~is_real] - len(first)).tolist(), found.right[~is_real].tolist(), strict=True))
    n_found = sum((i, int(at)) in caught or _twin(gallery, i, int(at), caught) for i, at in enumerate(origin))
    leaks = first[found.left[is_real]], second[found.right[is_real]], found.cosine[is_real]
    sampled = (0, 0) if search is exact_search else _sampled(queries, gallery, threshold, found, rng)
    return _near_table(validation, train, *leaks), (n_found, *sampled)


def _sampled(
    queries: Vectors, gallery: Vectors, threshold: float, found: NearPairs, rng: np.random.Generator
) -> tuple[int, int]:
    """The pairs of random queries that comparing everything finds, and how many of them were found."""
    rows = np.sort(rng.choice(len(queries), min(_SAMPLED, len(queries)), replace=False))
    true = exact_search(queries[rows], gallery, threshold)
    known = found.left * len(gallery) + found.right
    return len(true.left), int(np.isin(rows[true.left] * len(gallery) + true.right, known).sum())


def _twin(gallery: Vectors, canary: int, origin: int, caught: set[tuple[int, int]]) -> bool:
    """Whether the canary has found another sample with the very vector of its original, which is as good."""
    return any(np.array_equal(gallery[right], gallery[origin]) for left, right in caught if left == canary)


def _turned(vectors: Vectors, cosine: npt.NDArray[np.float64], rng: np.random.Generator) -> Vectors:
    """Each vector turned in a random direction until its cosine with itself is as given.

    >>> vectors = np.float32([[3, 0, 0], [0, 0, 2]])
    >>> turned = _turned(vectors, np.array([0.6, 1.0]), np.random.default_rng(0))
    >>> units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    >>> np.einsum("ij,ij->i", turned, units).round(3)
    array([0.6, 1. ], dtype=float32)
    """
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    away = rng.standard_normal(unit.shape)
    away -= np.einsum("ij,ij->i", away, unit)[:, None] * unit
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(cosine[:, None] * unit + np.sqrt(1 - cosine[:, None] ** 2) * away, np.float32)


def _sharing(kind: str, validation: SplitSide, train: SplitSide) -> pa.Table:
    """The rows of `LEAK_SCHEMA` for one kind of `SHARED`."""
    left = _shared_table(kind, validation, "validation")
    right = _shared_table(kind, train, "train").group_by(["value", "train_domain"])
    first = right.aggregate([("train_id", "min"), ("train_id", "count")])
    each = left.join(first, "value", join_type="inner")
    joined = each.group_by(["validation_domain", "validation_id", "train_domain"])
    joined = joined.aggregate([("train_id_min", "min"), ("train_id_count", "sum")])
    joined = joined.rename_columns(["validation_domain", "validation_id", "train_domain", "train_id", "pairs"])
    joined = joined.append_column("kind", pa.array([kind] * len(joined), pa.string()))
    return joined.append_column("cosine", pa.nulls(len(joined), pa.float64())).select(LEAK_SCHEMA.names)


def _shared_table(kind: str, side: SplitSide, name: str) -> pa.Table:
    """A row for each different value of each sample."""
    values, ids, domains = side.shared[kind], pa.array(side.ids, pa.string()), pa.array(side.domains, pa.string())
    tables, start = [], 0
    for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        owner = pc.add(pc.list_parent_indices(chunk), start)  # apart, as all values may be too long for one array
        columns = [pc.list_flatten(chunk), domains.take(owner), ids.take(owner)]
        tables.append(pa.table(columns, names=["value", f"{name}_domain", f"{name}_id"]).drop_null())
        start += len(chunk)
    table = pa.concat_tables(tables)
    return table.group_by(table.column_names).aggregate([])


def _near_table(
    validation: SplitSide, train: SplitSide, left: IntArray, right: IntArray, cosine: npt.NDArray[np.float64]
) -> pa.Table:
    """The rows of `LEAK_SCHEMA` for near pairs."""
    columns = [
        pa.array(["near"] * len(left), pa.string()),
        pa.array([validation.domains[i] for i in left], pa.string()),
        pa.array([train.domains[i] for i in right], pa.string()),
        pa.array([validation.ids[i] for i in left], pa.string()),
        pa.array([train.ids[i] for i in right], pa.string()),
        pa.array(np.ones(len(left), np.int64)),
        pa.array(cosine, pa.float64()),
    ]
    return pa.table(columns, schema=LEAK_SCHEMA)
