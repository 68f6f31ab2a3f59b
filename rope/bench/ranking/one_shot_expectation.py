"""The chance that a support is drawn into a support set in which nothing is more similar: exact, in any order.

When one sample of every product is drawn, a support wins against another product with c of its n samples at least as
similar with probability 1 - c / n, and against all products with the product of these. Factors are kept as whole
numbers: minus the binary logarithm in units of 2^-40, so that adding them up in any order, in any blocks and on any
number of threads gives the same number. A sum of 40 and more, a chance below 10^-12, is 0.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np

from rope.arrays import BitArray, FloatArray, IntArray
from rope.bench.ranking.blocks import MAX_COST, Prices

__all__ = ["Costs", "win_chances"]


_UNIT_BITS: Final = 40
_LN_2: Final = 0.6931471805599453


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What each product of a gallery costs, by how many of its samples are at least as similar.

    Attributes:
        table: int64; see `place`.
        place: int64 [n]; for each gallery sample, the place in `table` of its product's cost of 0 samples; that of c
            samples is c places further on.
        product: int64 [n], the number of each gallery sample's product, from 0.
        drawn: uint64 [n, n_words]; bit t of a sample is set if it is in support set t.
    """

    table: IntArray
    place: IntArray
    product: IntArray
    drawn: BitArray

    @classmethod
    def of(cls, products: IntArray, drawn: BitArray) -> "Costs":
        """The costs for a gallery with these products, ascending."""
        _, product, sizes = np.unique(products, return_inverse=True, return_counts=True)
        unique, which = np.unique(sizes, return_inverse=True)
        places = np.cumsum(unique + 1) - (unique + 1)
        table = np.concatenate([np.zeros(0, np.int64), *(_costs_of(int(n)) for n in unique)])
        return cls(table, places[which][product], product, drawn)

    def prices(self, left: int, right: int) -> Prices:
        """Those of the gallery samples `left:right`, which hold whole products, or a part of one.

        A part costs nothing, since only the whole product has a cost.
        """
        product, place = self.product[left:right], self.place[left:right]
        is_part = self._is_part(left, right)
        table = np.zeros(right - left + 1, np.int64) if is_part else self.table
        return Prices(product, np.zeros_like(place) if is_part else place, table, self.drawn[left:right])

    def _is_part(self, left: int, right: int) -> bool:
        goes_on = right < len(self.product) and self.product[right] == self.product[right - 1]
        return bool(goes_on or (left > 0 and self.product[left - 1] == self.product[left]))


def _costs_of(n: int) -> IntArray:
    """-log2(1 - c / n) in units of 2^-40 for c from 0 to n; `MAX_COST` where c is n.

    >>> _costs_of(4)[:3] / 2**40
    array([0.        , 0.4150375, 1.        ])
    """
    logarithms = np.array([_log2(k) for k in range(n, 0, -1)], np.int64)
    costs = (logarithms[0] - logarithms + (1 << 15)) >> 16
    return np.append(costs, MAX_COST)


@lru_cache(maxsize=1 << 20)
def _log2(k: int) -> int:
    """log2(k) in units of 2^-56, rounded to even; from decimal arithmetic, so the same on every machine."""
    with localcontext() as context:
        context.prec = 40
        bits = Decimal(k).ln() / Decimal(2).ln()
        return int((bits * (1 << 56)).to_integral_value(ROUND_HALF_EVEN))


def win_chances(costs: IntArray) -> FloatArray:
    """The chance that goes with each total of costs: 2^-cost, or 0 from 40 bits on.

    Only additions, multiplications and powers of two, so that it is the same on every machine; within 10^-15.

    >>> win_chances(np.array([0, 2**40, 3 * 2**39, MAX_COST]))
    array([1.        , 0.5       , 0.35355339, 0.        ])
    """
    whole = costs >> _UNIT_BITS
    rest = (costs & ((1 << _UNIT_BITS) - 1)) / float(1 << _UNIT_BITS) * _LN_2
    power = np.zeros(len(costs))
    for k in range(20, 0, -1):
        power = (power + 1) * -rest / k  # the series of exp(-rest) - 1, from its end
    return np.where(costs >= MAX_COST, 0.0, np.ldexp(power + 1, -np.minimum(whole, 1000)))
