"""How many rows the stages of a recipe keep of a whole pool, from the fates of a few keys that were drawn at random.

A key is what `sample` draws, a product say, with all its rows; without a stage `sample` each row is its own key. Of
every key of the pool we know the stratum and the number of rows. What became of the drawn keys is known too, and each
of the others is dealt the fate of a drawn key of its kind. That is done many times: each time drawn keys weigh more or
less, as if others had been drawn (a Bayesian bootstrap, Rubin 1981), with a little weight on fates that nobody saw
(half a key for each stage, as Jeffreys' prior has it). A sample is drawn from the whole pool each time, so that floors,
a `count` and the sizes of keys have their true effect. The spread between the times is the uncertainty of the forecast,
and it is 0 for what was drawn whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from rope.arrays import FloatArray, IntArray
from rope.curation.sampling.sample import SampleSize, allocate_counts

__all__ = ["Fates", "Kinds", "SampleAt", "kept_rows"]

_LEVELS: Final = (
    (("word", "domains", "rows"), 10),
    (("domains", "rows"), 10),
    (("domains", "size"), 5),
    (("size",), 5),
    (("domains",), 1),
)
"""What keys have in common that speak for each other, and how many drawn ones it takes."""

_PSEUDO: Final = 0.5
"""Weight, in keys, of the fate that nobody saw: to be lost at a stage, for each stage, and never to be lost."""

_MARGIN: Final = 1.1
"""Widening for what kinds do not tell of keys. Without it, where floors decide, intervals held the truth in 91 of 100
simulated pools."""

_KEYS_AT_ONCE: Final = 200_000
"""Keys of which a sample is drawn one by one; of more, each kind has a binomial number."""

_MASKS: Final = 8
"""Sets of domains."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The keys of a pool, counted by what is known of them before any stage.

    Attributes:
        word: int64 [n]; place of the stratum's word.
        domains: int64 [n]; the domains among its rows, as bits.
        rows: int64 [n]; rows of a key.
        count: int64 [n]; keys of this kind.
    """

    word: IntArray
    domains: IntArray
    rows: IntArray
    count: IntArray

    @property
    def n_rows(self) -> int:
        """Rows of all keys."""
        return int(self.rows @ self.count)


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of the drawn keys.

    Attributes:
        word: int64 [d]; as in `Kinds`, for each drawn key.
        domains: int64 [d].
        rows: int64 [d].
        kept: int64 [d, stages]; rows of each that are kept after each stage.
        kept_domains: int64 [d, stages]; the domains among these.
    """

    word: IntArray
    domains: IntArray
    rows: IntArray
    kept: IntArray
    kept_domains: IntArray

    def take(self, places: IntArray) -> "Fates":
        """Some of them."""
        return Fates(*(getattr(self, name)[places] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class SampleAt:
    """A stage that samples.

    Attributes:
        size: how much it draws.
        words: int64 [d]; words of the drawn keys that stages have made; None where those of the kinds are meant.
    """

    size: SampleSize
    words: IntArray | None = None


@dataclass(frozen=True, slots=True)
class _Dealt:
    """Keys with their fates: `count` keys of each of e entries.

    `origin` is the drawn key that each fate is of.
    """

    count: FloatArray
    word: IntArray
    domains: IntArray
    kept: FloatArray
    kept_domains: IntArray
    origin: IntArray


def kept_rows(
    kinds: Kinds,
    fates: Fates,
    samples: Mapping[int, SampleAt],
    *,
    factor: float = 1.0,
    n_draws: int = 200,
    rng: np.random.Generator,
) -> FloatArray:
    """Rows after each stage; float64 [1 + n_draws, stages]. The first is the best guess, the others vary as it may.

    Args:
        kinds: of the pool.
        fates: of keys that were drawn from it without replacement; a stage that samples has kept all of them.
        samples: stage -> how it samples.
        factor: how many times as large as the pool the one is that is planned for; another of the same make-up then, of
            which nothing was drawn.
        n_draws: how often.
        rng: generator.
    """
    n_stages = fates.kept.shape[1]
    rest = kinds.count - _counted(kinds, fates) if factor == 1 else kinds.count
    groups = list(_groups(kinds, fates))
    draws = np.empty((1 + n_draws, n_stages))
    for i in range(1 + n_draws):
        own = None if i == 0 else rng
        counts = rest.astype(np.float64) if factor == 1 or own is None else _another(kinds, own)
        dealt = _joined([*_deal(kinds, fates, groups, np.rint(counts * factor), own), *_themselves(fates, factor)])
        draws[i] = _rows_after(dealt, samples, own)
    draws[0] = _best(draws, samples)
    return np.asarray(np.clip(draws[0] + (draws - draws[0]) * _widening(fates), 0.0, kinds.n_rows * factor))


def _another(kinds: Kinds, rng: np.random.Generator) -> FloatArray:
    """Keys of each kind in another pool of the same make-up and as many rows; float64 [n]."""
    counts = rng.poisson(kinds.count).astype(np.float64)
    return np.asarray(counts * (kinds.n_rows / max(float(counts @ kinds.rows), 1.0)))


def _best(draws: FloatArray, samples: Mapping[int, SampleAt]) -> FloatArray:
    """The best guess: of each stage, the share that is kept of what reaches it; float64 [stages].

    The first draw has nobody's fate and no sample in it; of a stage that samples it is the middle one of the others.
    """
    best: FloatArray = draws[0].copy()
    for stage in range(min(samples, default=len(best)), len(best)):
        told = draws[1:] if stage in samples else draws[:1]
        shares = told[:, stage] / np.maximum(told[:, stage - 1], 1e-9)
        best[stage] = best[stage - 1] * float(np.median(shares))
    return best


def _widening(fates: Fates) -> float:
    """How much wider an interval is of as few keys as there are when a few hold most of the rows (Kish); at least 1.

    >>> one = np.ones(200, np.int64)
    >>> round(_widening(Fates(one, one, one, one[:, None], one[:, None])), 3)
    1.107
    """
    rows = fates.rows.astype(np.float64)
    degrees = max(float(rows.sum() ** 2 / (rows**2).sum()) - 1, 1.0)
    return _MARGIN * float(stdtrit(degrees, 0.975) / ndtri(0.975))


def _counted(kinds: Kinds, fates: Fates) -> IntArray:
    """How many keys of each kind were drawn."""
    known = zip(kinds.word.tolist(), kinds.domains.tolist(), kinds.rows.tolist(), strict=True)
    place = {kind: i for i, kind in enumerate(known)}
    drawn = zip(fates.word.tolist(), fates.domains.tolist(), fates.rows.tolist(), strict=True)
    return np.bincount([place[kind] for kind in drawn], minlength=len(kinds.count)).astype(np.int64)


def _groups(kinds: Kinds, fates: Fates) -> Iterator[tuple[IntArray, IntArray]]:
    """The kinds that are dealt the fates of the same drawn keys, and these.

    They are of the same word, domains and rows; where these are few, of the same domains and rows, of the same domains
    and about as many rows, of about as many rows, or of the same domains; or all.
    """
    open_kinds = np.arange(len(kinds.count))
    whole, drawn_keys = _traits(kinds), _traits(fates)
    for names, least in _LEVELS:
        both = np.stack([np.concatenate([whole[name][open_kinds], drawn_keys[name]]) for name in names])
        code = np.unique(both, axis=1, return_inverse=True)[1].reshape(-1)
        own, drawn = code[: len(open_kinds)], code[len(open_kinds) :]
        is_told = np.bincount(drawn, minlength=code.max(initial=0) + 1) >= least
        for one in np.unique(own[is_told[own]]):
            yield open_kinds[own == one], np.flatnonzero(drawn == one)
        open_kinds = open_kinds[~is_told[own]]
    if len(open_kinds):
        yield open_kinds, np.arange(len(fates.rows))


def _traits(keys: Kinds | Fates) -> dict[str, IntArray]:
    size = np.frexp(keys.rows.astype(np.float64))[1].astype(np.int64)  # 1, 2 to 3, 4 to 7 and so on
    return {"word": keys.word, "domains": keys.domains, "rows": keys.rows, "size": size}


def _deal(
    kinds: Kinds,
    fates: Fates,
    groups: list[tuple[IntArray, IntArray]],
    counts: FloatArray,
    rng: np.random.Generator | None,
) -> Iterator[_Dealt]:
    """Keys that were not drawn, each with a fate; without `rng` as many of each as is expected."""
    n_stages = fates.kept.shape[1]
    for places, drawn in groups:
        if not counts[places].sum():
            continue
        shares = np.concatenate([fates.kept[drawn] / fates.rows[drawn, None], _unseen(n_stages)])
        masks = np.concatenate([fates.kept_domains[drawn], np.full((n_stages + 1, n_stages), -1)])
        n = len(drawn)
        unseen = np.full(n_stages + 1, _PSEUDO * n / len(fates.rows) * (rng is not None))
        # With (n - 2) / n for each, the mean of n varies as an unbiased estimate of its variance says, also for few.
        weight = np.concatenate([np.full(n, max((n - 2) / n, 0.25)), unseen])
        weight = weight if rng is None else rng.standard_gamma(weight)
        weight /= weight.sum()
        dealt = (
            counts[places, None] * weight if rng is None else rng.multinomial(counts[places].astype(np.int64), weight)
        )
        kind, fate = np.nonzero(dealt)
        own = places[kind]
        kept = np.asarray(shares[fate] * kinds.rows[own, None], np.float64)
        domains = np.where(masks[fate] >= 0, masks[fate], kinds.domains[own, None])
        origin = np.append(drawn, np.full(n_stages + 1, drawn[0]))[fate]
        yield _Dealt(dealt[kind, fate].astype(np.float64), kinds.word[own], kinds.domains[own], kept, domains, origin)


def _unseen(n_stages: int) -> FloatArray:
    """The fates of nobody: lost at each stage, and at none; float64 [stages + 1, stages]."""
    return np.tri(n_stages + 1, n_stages, -1)


def _themselves(fates: Fates, factor: float) -> list[_Dealt]:
    """The drawn keys, of which nothing needs to be guessed."""
    if factor != 1:
        return []
    every = np.arange(len(fates.rows))
    ones = np.ones(len(every))
    return [_Dealt(ones, fates.word, fates.domains, fates.kept.astype(np.float64), fates.kept_domains, every)]


def _joined(parts: list[_Dealt]) -> _Dealt:
    return _Dealt(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Dealt.__slots__))


def _rows_after(dealt: _Dealt, samples: Mapping[int, SampleAt], rng: np.random.Generator | None) -> FloatArray:
    """Rows after each stage; float64 [stages]. Without `rng` no sample is drawn."""
    count = dealt.count
    found = np.empty(dealt.kept.shape[1])
    for stage in range(len(found)):
        if stage in samples and rng is not None:
            before = dealt.kept_domains[:, stage - 1]
            words = samples[stage].words
            word = dealt.word if words is None else words[dealt.origin]
            there = np.flatnonzero((dealt.kept[:, stage - 1] > 0) & (count > 0))
            left = np.zeros_like(count)
            left[there] = _drawn(count[there], word[there] * _MASKS + before[there], samples[stage].size, rng)
            count = left
        found[stage] = count @ dealt.kept[:, stage]
    return found


def _drawn(count: FloatArray, stratum: IntArray, size: SampleSize, rng: np.random.Generator) -> FloatArray:
    """How many keys of each entry are in a sample."""
    _, code = np.unique(stratum, return_inverse=True)
    pool = np.rint(np.bincount(code, count)).astype(np.int64)
    taken = allocate_counts(pool, _fitting(size, pool))
    if pool.sum() > _KEYS_AT_ONCE:
        some = rng.binomial(np.rint(count).astype(np.int64), (taken / np.maximum(pool, 1))[code])
        return np.asarray(some * (taken / np.maximum(np.bincount(code, some), 1))[code])
    who = np.repeat(np.arange(len(count)), np.rint(count).astype(np.int64))
    order = np.lexsort((rng.random(len(who)), code[who]))
    ordered = code[who[order]]
    rank = np.arange(len(who)) - np.searchsorted(ordered, ordered)
    return np.bincount(who[order[rank < taken[ordered]]], minlength=len(count)).astype(np.float64)


def _fitting(size: SampleSize, pool: npt.NDArray[np.int64]) -> SampleSize:
    """The size, with a count that this pool allows."""
    if size.count is None or not len(pool):
        return SampleSize(size.rate or 1.0, None, size.floor)
    least = int(np.minimum(pool, size.floor).sum())
    return SampleSize(None, int(np.clip(size.count, least, pool.sum())), size.floor)
