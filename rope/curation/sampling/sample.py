"""Draw an exact, stratified sample of keys, without a shuffle and without seeing all rows in one place.

The unit is the key (a product, or the hash of a file's content): all its rows are in or out together. A key belongs to
one stratum, its category and the set of its domains, and of each stratum the keys with the smallest hashes are drawn.
So a larger sample contains every smaller one with the same seed and floor, and nothing depends on the order of rows or
on shards.

    units = join_units([make_units(...) for shard in shards])
    drawn = draw_sample(units, SampleSize(rate=0.01))
    weights = row_weights(drawn, keyed_hash(...))  # 0 for rows that are not in the sample

Where the units of all shards are too many for one machine, divide keys by the first bits of their hash and use the
steps: add up `count_strata` of each division, `allocate`, `candidates` of each division, `join_units`, `trim`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import FloatArray, IntArray
from rope.config import Count, PositiveFraction, check_record
from rope.curation.codes import coded_in_order
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.domain import DOMAINS, Domain
from rope.errors import DatasetError, UsageError

__all__ = [
    "PURPOSE",
    "Drawn",
    "KeyRows",
    "SampleSize",
    "Stratum",
    "Units",
    "allocate",
    "allocate_counts",
    "candidates",
    "count_strata",
    "draw_in_order",
    "draw_sample",
    "join_units",
    "key_rows",
    "make_units",
    "row_weights",
    "strata_of",
    "subset",
    "take_first",
    "trim",
    "units_of",
]

PURPOSE: Final = "sample"
"""The purpose of the hashes, see `rope.curation.sampling.keyed_hash`."""

Hashes = npt.NDArray[np.uint64]

_MASKS: Final = 1 << len(DOMAINS)
_BISECTIONS: Final = 64
"""Halvings of the unit interval, after which the two ends are neighbouring floats or closer than any two priorities."""


class Stratum(NamedTuple):
    """Keys of one category, `""` for none, that were seen in just these domains, in the order of `DOMAINS`."""

    category: str
    domains: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How much to draw: one of `rate` and `count`.

    Attributes:
        rate: share of the keys of each stratum, above 0 and at most 1, rounded to the nearest number of keys.
        count: number of keys in all, exactly.
        floor: of a stratum at least so many keys are drawn, or all it has. With 1 every key can be drawn, so totals of
            the pool can be estimated; with 2 each stratum also tells how much its keys differ.

    Raises:
        UsageError: both or none are given, or a number is out of range.
    """

    rate: PositiveFraction | None = None
    count: Count | None = None
    floor: Count = 2

    def __post_init__(self) -> None:
        check_record(self)
        if (self.rate is None) == (self.count is None):
            raise UsageError(f"rate is {self.rate} and count is {self.count}; expected one of them")


@dataclass(frozen=True, slots=True)
class KeyRows:
    """What is known of the key of each of some rows.

    Attributes:
        hashes: uint64 [rows]; of the key.
        category: int64 [rows]; place in `categories`.
        domains: int64 [rows]; bit i for `DOMAINS[i]`.
        categories: ascending; `""` stands for none.
    """

    hashes: Hashes
    category: IntArray
    domains: IntArray
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Units:
    """The keys of some rows, each once, by hash. Two of 5 M keys share a hash with probability 7e-7, and are then one.

    Attributes:
        hashes: uint64 [n], ascending.
        category: int64 [n]; place in `categories` of the smallest category among the rows of a key.
        domains: int64 [n]; the domains among its rows: bit i for `DOMAINS[i]`.
        rows: int64 [n]; how many rows it has.
        categories: ascending; `""` stands for none.
    """

    hashes: Hashes
    category: IntArray
    domains: IntArray
    rows: IntArray
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The drawn keys, with their strata.

    Attributes:
        units: its keys.
        stratum: int64 [n]; place of each key in `strata`.
        strata: every stratum of the pool, ascending.
        pool: int64 [strata]; keys of the pool.
    """

    units: Units
    stratum: IntArray
    strata: tuple[Stratum, ...]
    pool: IntArray

    @property
    def taken(self) -> IntArray:
        """int64 [strata]; keys of the sample."""
        return np.bincount(self.stratum, minlength=len(self.strata))

    @property
    def weight(self) -> FloatArray:
        """float64 [n]; how many keys of the pool each key stands for: 1 / the probability that it is drawn."""
        return np.asarray((self.pool / np.maximum(self.taken, 1))[self.stratum])


def key_rows(
    key: pa.Array | pa.ChunkedArray,
    category: pa.Array | pa.ChunkedArray,
    domain: pa.Array | pa.ChunkedArray,
    *,
    seed: int,
) -> KeyRows:
    """The key of each of some rows, hashed, with its category and domain.

    Args:
        key: strings, none null.
        category: strings; null counts as `""`.
        domain: names of `DOMAINS`.
        seed: of the sample; samples with one seed are nested, others are independent.

    Raises:
        UsageError: a key is null, a domain is unknown, or the columns differ in length.
    """
    if not len(key) == len(category) == len(domain):
        raise UsageError(f"{len(key)} keys, {len(category)} categories and {len(domain)} domains; expected as many")
    names, places = coded_in_order(pc.fill_null(category, ""))
    return KeyRows(keyed_hash(key, seed=seed, purpose=PURPOSE), places, _domain_bits(domain), tuple(names))


def units_of(rows: KeyRows) -> Units:
    """The keys of some rows, each once."""
    ones = np.ones(len(rows.hashes), np.int64)
    return _collapsed(rows.hashes, rows.category, rows.domains, ones, rows.categories)


def make_units(
    key: pa.Array | pa.ChunkedArray,
    category: pa.Array | pa.ChunkedArray,
    domain: pa.Array | pa.ChunkedArray,
    *,
    seed: int,
) -> Units:
    """The keys of some rows, each once; see `key_rows`.

    >>> units = make_units(pa.array(["a", "b", "a"]), pa.array(["z", None, "y"]), pa.array(["page", "page", "live"]),
    ...     seed=0)
    >>> units.categories, units.category.tolist(), units.domains.tolist(), units.rows.tolist()
    (('', 'y', 'z'), [1, 0], [5, 1], [2, 1])
    """
    return units_of(key_rows(key, category, domain, seed=seed))


def join_units(parts: Sequence[Units]) -> Units:
    """The keys of all parts; the order and number of parts change nothing.

    A key in several parts has the smallest of its categories and all of its domains.
    """
    categories = sorted({name for part in parts for name in part.categories})
    place = {name: i for i, name in enumerate(categories)}
    moved = [np.array([place[name] for name in part.categories], np.int64)[part.category] for part in parts]
    return _collapsed(
        np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *moved]),
        np.concatenate([np.empty(0, np.int64), *(part.domains for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)]),
        tuple(categories),
    )


def count_strata(units: Units) -> Counter[Stratum]:
    """Keys of each stratum; counts of divisions that share no key add up.

    >>> units = make_units(pa.array(["a", "b"]), pa.array(["shoes", None]), pa.array(["page", "live"]), seed=0)
    >>> for stratum, n in sorted(count_strata(units).items()):
    ...     print(stratum.category or "none", stratum.domains, n)
    none ('live',) 1
    shoes ('page',) 1
    """
    strata, stratum = strata_of(units)
    return Counter(dict(zip(strata, np.bincount(stratum, minlength=len(strata)).tolist(), strict=True)))


def allocate(
    counts: Mapping[Stratum, int], size: SampleSize, drawn: Mapping[Stratum, int] | None = None
) -> dict[Stratum, int]:
    """How many keys to draw of each stratum.

    The j-th key of a stratum of n has the priority (j - 1/2) / n (Webster's rule), and those of priority up to the rate
    are drawn, or as many as `count` asks for; of equal priorities those of the smaller stratum name go first. Unlike
    with largest remainders, no stratum loses a key when the sample grows.

    Args:
        counts: keys of each stratum.
        size: how much to draw.
        drawn: keys of each stratum that are drawn already and stay, whatever the size says; None for none.

    >>> shoes, hats = Stratum("shoes", ("page",)), Stratum("hats", ("page",))
    >>> allocate({shoes: 900, hats: 100}, SampleSize(count=15)) == {shoes: 13, hats: 2}
    True

    Raises:
        UsageError: `count` is above the number of keys, or below what the floors alone need.
    """
    strata = sorted(counts)
    pool = np.array([counts[stratum] for stratum in strata], np.int64)
    stay = np.array([(drawn or {}).get(stratum, 0) for stratum in strata], np.int64)
    return dict(zip(strata, allocate_counts(pool, size, stay).tolist(), strict=True))


def allocate_counts(pool: IntArray, size: SampleSize, drawn: IntArray | None = None) -> IntArray:
    """The same for the keys of each stratum, in the order of the strata; int64 [strata].

    Raises:
        UsageError: see `allocate`.
    """
    least = np.minimum(pool, size.floor)
    least = least if drawn is None else np.maximum(least, drawn)
    if size.rate is not None:
        return np.maximum(_up_to(size.rate, pool), least)
    assert size.count is not None
    return _exactly(size.count, pool, least)


def candidates(units: Units, counts: Mapping[Stratum, int], allocation: Mapping[Stratum, int]) -> Units:
    """The keys of one division that may be drawn, decided from its own keys and the counts of all.

    A key stays where its hash, as a share of all hashes, is below (k + 6 sqrt(k) + 10) / n. Then fewer than k of n keys
    stay with a probability below 1e-8, and `trim` would say so.
    """
    strata, stratum = strata_of(units)
    pool = np.array([counts[one] for one in strata], np.float64)
    wanted = np.array([allocation[one] for one in strata], np.float64)
    share = (wanted + 6 * np.sqrt(wanted) + 10) / pool
    return subset(units, units.hashes / 2.0**64 < share[stratum])


def trim(units: Units, counts: Mapping[Stratum, int], allocation: Mapping[Stratum, int]) -> Drawn:
    """Of the candidates of all divisions, the keys with the smallest hashes of each stratum.

    Raises:
        DatasetError: a stratum has fewer candidates than keys to draw.
    """
    all_strata = tuple(sorted(counts))
    found, local = strata_of(units)
    place = {stratum: i for i, stratum in enumerate(all_strata)}
    stratum = np.array([place[one] for one in found], np.int64)[local]
    wanted = np.array([allocation[one] for one in all_strata], np.int64)
    _refuse_short(all_strata, wanted, np.bincount(stratum, minlength=len(all_strata)))
    is_drawn = _rank_within(stratum) < wanted[stratum]
    pool = np.array([counts[one] for one in all_strata], np.int64)
    return Drawn(subset(units, is_drawn), stratum[is_drawn], all_strata, pool)


def draw_in_order(
    divisions: Iterable[Units], counts: Mapping[Stratum, int], allocation: Mapping[Stratum, int]
) -> Iterator[tuple[Units, FloatArray]]:
    """Draw from divisions of the hashes that come in their order, without holding any.

    Args:
        divisions: keys; those of one have larger hashes than those of the ones before.
        counts: keys of each stratum in all divisions.
        allocation: how many of them to draw.

    Yields:
        Each division, with the weight of each of its keys as `Drawn.weight`, 0 where it is not drawn; float64 [n].
    """
    left = dict(allocation)
    for units in divisions:
        is_drawn = take_first(units, left)
        strata, stratum = strata_of(units)
        weight = np.array([counts[one] / max(allocation[one], 1) for one in strata])
        yield units, np.where(is_drawn, weight[stratum], 0.0)


def take_first(units: Units, left: dict[Stratum, int]) -> npt.NDArray[np.bool_]:
    """Which keys are drawn where so many of each stratum are left to draw; takes them off; bool [n]."""
    strata, stratum = strata_of(units)
    is_drawn = _rank_within(stratum) < np.array([left[one] for one in strata], np.int64)[stratum]
    taken = np.bincount(stratum[is_drawn], minlength=len(strata)).tolist()
    left.update((one, left[one] - n) for one, n in zip(strata, taken, strict=True))
    return np.asarray(is_drawn)


def draw_sample(units: Units, size: SampleSize) -> Drawn:
    """Draw from the units of the whole pool.

    Raises:
        UsageError: `size` does not fit the pool, see `allocate`.
    """
    counts = count_strata(units)
    return trim(units, counts, allocate(counts, size))


def row_weights(drawn: Drawn, hashes: Hashes) -> FloatArray:
    """The weight of each row by the hash of its key, 0 where it is not in the sample; float64 [rows].

    >>> keys = pa.array(["a", "b", "a"])
    >>> units = make_units(keys, pa.nulls(3, pa.string()), pa.array(["page"] * 3), seed=0)
    >>> row_weights(draw_sample(units, SampleSize(rate=0.5, floor=1)), keyed_hash(keys, seed=0, purpose=PURPOSE))
    array([2., 0., 2.])
    """
    if not len(drawn.units.hashes):
        return np.zeros(len(hashes))
    place = np.minimum(np.searchsorted(drawn.units.hashes, hashes), len(drawn.units.hashes) - 1)
    return np.where(drawn.units.hashes[place] == hashes, drawn.weight[place], 0.0)


def _domain_bits(domain: pa.Array | pa.ChunkedArray) -> IntArray:
    names, places = coded_in_order(pc.fill_null(domain, "null"))
    unexpected = sorted(set(names) - set(DOMAINS))
    if unexpected:
        raise UsageError(f"unknown domain {unexpected[0]!r}; expected {', '.join(DOMAINS)}")
    bits = {name: 1 << i for i, name in enumerate(DOMAINS)}
    return np.array([bits[name] for name in names], np.int64)[places]  # type: ignore[index]  # checked above


def _collapsed(
    hashes: Hashes, category: IntArray, domains: IntArray, rows: IntArray, categories: tuple[str, ...]
) -> Units:
    """Rows of one hash as one unit; the categories that no unit has any more stay in the list."""
    if not len(hashes):
        return Units(hashes, category, domains, rows, categories)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Units(
        ordered[starts],
        np.minimum.reduceat(category[order], starts),
        np.bitwise_or.reduceat(domains[order], starts),
        np.add.reduceat(rows[order], starts),
        categories,
    )


def strata_of(units: Units) -> tuple[list[Stratum], IntArray]:
    """Distinct strata, and the place of each unit among them."""
    codes, stratum = np.unique(units.category * _MASKS + units.domains, return_inverse=True)
    pairs = (divmod(code, _MASKS) for code in codes.tolist())
    return [Stratum(units.categories[category], _domains_of(mask)) for category, mask in pairs], stratum


def _domains_of(mask: int) -> tuple[Domain, ...]:
    return tuple(name for i, name in enumerate(DOMAINS) if mask >> i & 1)


def subset(units: Units, mask: npt.NDArray[np.bool_]) -> Units:
    """Some of the keys; mask is bool [n]."""
    return Units(units.hashes[mask], units.category[mask], units.domains[mask], units.rows[mask], units.categories)


def _up_to(rate: float, pool: IntArray) -> IntArray:
    """How many keys of each stratum have a priority of at most `rate`, as floats compare.

    >>> _up_to(0.01, np.array([49, 50, 149, 150])).tolist()
    [0, 1, 1, 2]
    """
    taken = np.floor(rate * pool + 0.5)
    taken += (taken + 0.5) / pool <= rate
    taken -= (taken - 0.5) / pool > rate
    return np.asarray(np.clip(taken, 0, pool), np.int64)


def _exactly(count: int, pool: IntArray, least: IntArray) -> IntArray:
    """`count` keys: all up to the highest rate that is not too high, and then the next priorities."""
    if not least.sum() <= count <= pool.sum():
        raise UsageError(
            f"count is {count:,}, but the pool has {pool.sum():,} keys in {len(pool):,} strata, whose floors and keys "
            f"drawn before need {least.sum():,}; ask for a count between these, or for a lower floor"
        )
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fits = np.maximum(_up_to(middle, pool), least).sum() <= count
        low, high = (middle, high) if fits else (low, middle)
    taken = np.maximum(_up_to(low, pool), least)
    next_priority = np.where(taken < pool, (taken + 0.5) / pool, np.inf)
    first = np.argsort(next_priority, kind="stable")[: count - taken.sum()]
    taken[first] += 1
    return np.asarray(taken)


def _rank_within(stratum: IntArray) -> IntArray:
    """How many units before each are of its stratum.

    >>> _rank_within(np.array([1, 0, 1, 1])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(stratum, kind="stable")
    ordered = stratum[order]
    starts = np.searchsorted(ordered, ordered)
    rank = np.empty(len(stratum), np.int64)
    rank[order] = np.arange(len(stratum)) - starts
    return rank


def _refuse_short(strata: Iterable[Stratum], wanted: IntArray, found: IntArray) -> None:
    for stratum, n_wanted, n_found in zip(strata, wanted.tolist(), found.tolist(), strict=True):
        if n_found < n_wanted:
            raise DatasetError(
                f"stratum {stratum.category!r} of {'+'.join(stratum.domains)}: {n_found:,} candidates for "
                f"{n_wanted:,} keys to draw; counts, candidates and trim must see the same keys"
            )
