"""The precision of a dataset, from an audit: people judge a fresh sample of what it says, which never changes it."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from rope.bench.stats.intervals import TAIL, MetricEstimate, estimate, share_interval
from rope.curation.annotation.agreement import Vote, dawid_skene
from rope.curation.annotation.answers import AnnotatorAnswer
from rope.curation.annotation.batches import TaskBatch
from rope.curation.annotation.items import pair_id
from rope.curation.annotation.ledger import current_answers
from rope.domain import DOMAINS
from rope.errors import DatasetError

__all__ = [
    "Claim",
    "Precision",
    "card_with_precision",
    "claims_of",
    "digest_of",
    "draw_claims",
    "measure_precision",
    "precision_json",
]

Floats = npt.NDArray[np.float64]

_FOLDS: Final = 20
"""Groups of products that are left out in turn to see how much the estimate of the annotators' errors moves."""

_CREDIT: Final = 4.0
"""Right votes that everybody is credited with, against one wrong one: people are taken to be right in four of five
cases until their answers say otherwise. A good dataset has too few wrong samples to learn from how well people see
them, and at even odds their slips would pass for such samples."""

_SURE: Final = 0.8
"""An item whose more probable side is less probable than this is open, as in `agreement.adjudicate`."""

_HEADING: Final = "\n## Precision\n"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a dataset says: that a row shows the product that another row shows.

    Attributes:
        row: the one in question.
        reference: the first row of the product: a page where it has one, and the smallest id.
        product: their product id.
    """

    row: str
    reference: str
    product: str

    @property
    def item_id(self) -> str:
        """As annotation names the pair."""
        return pair_id(self.reference, self.row)


def claims_of(rows: Iterable[Mapping[str, Any]]) -> list[Claim]:
    """What a dataset says of all its rows but one of each product; a product of one row says nothing.

    Args:
        rows: with `id`, `domain` and `product_id`.

    >>> rows = [("v1", "video", "a"), ("p1", "page", "a"), ("p2", "page", "b")]
    >>> claims_of([dict(zip(("id", "domain", "product_id"), row)) for row in rows])
    [Claim(row='v1', reference='p1', product='a')]
    """
    products: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        products.setdefault(row["product_id"], []).append((DOMAINS.index(row["domain"]), row["id"]))
    found = []
    for product, members in sorted(products.items()):
        (_, reference), *others = sorted(members)
        found += [Claim(row, reference, product) for _, row in others]
    return found


def digest_of(claims: Sequence[Claim]) -> str:
    """A name for all that a dataset says; another one as soon as a row or a product changes."""
    lines = "".join(f"{claim.row}|{claim.reference}|{claim.product}\n" for claim in claims)
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


def draw_claims(claims: Sequence[Claim], count: int, seed: int) -> list[Claim]:
    """A simple random sample, or all of them: fresh as soon as the dataset changes, so that it is held out."""
    key = f"{seed}|{digest_of(claims)}|"
    ordered = sorted(claims, key=lambda claim: hashlib.blake2b((key + claim.item_id).encode()).digest())
    return ordered[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The share of what a dataset says that is right, with its 95 % interval.

    Attributes:
        value: of the samples that are not the first of their product, how many show it.
        low: end of the interval; None where it cannot be known.
        high: end of the interval; None likewise.
        n_items: that were drawn.
        n_claims: of which they were drawn.
        n_products: of the drawn ones.
        n_people: who answered.
        n_unclear: items that nobody could tell; they count as wrong.
        is_judged: whether items were answered twice; one person alone is taken at their word.
    """

    value: float
    low: float | None
    high: float | None
    n_items: int
    n_claims: int
    n_products: int
    n_people: int
    n_unclear: int
    is_judged: bool

    def __str__(self) -> str:
        """A sentence or two."""
        ends = "no interval" if self.low is None else f"95 % interval {self.low:.1%} to {self.high:.1%}"
        judged = (
            "their errors, as far as answers to the same items show them, are taken into account"
            if self.is_judged
            else "no item was answered twice, so that they are taken at their word"
        )
        return (
            f"precision {self.value:.1%} ({ends}): the share of samples that show the product they are published as, "
            f"judged beside the first of it. A random {self.n_items:,} of {self.n_claims:,} such samples, of "
            f"{self.n_products:,} products, were judged and changed nothing in the dataset; by {self.n_people} people, "
            f"and {judged}; {self.n_unclear:,} samples that nobody could tell count as wrong"
        )


def measure_precision(
    batches: Sequence[TaskBatch], answers: Sequence[AnnotatorAnswer], claims: Sequence[Claim]
) -> Precision:
    """The precision of a dataset from the audit that was drawn from it as it is.

    Each item counts by how probable it is that it is the same, by the model of Dawid and Skene. The interval is that of
    docs/statistics.md over products, on log odds, and holds the binomial one (Korn and Graubard, 1998). Its variance is
    the greater of two: that of the jackknife over products, and that of leaving out groups of them and estimating the
    annotators' errors again. What answers leave open counts as wrong at its lower end and as right at its upper one.

    Raises:
        DatasetError: no audit was drawn from the dataset as it is, or an item has no answer yet.
    """
    now = digest_of(claims)
    own = [batch for batch in batches if batch.question == "precision" and batch.population == now]
    if not own:
        raise DatasetError(
            "no audit was drawn from the dataset as it is now; run `rope curate annotate export RECIPE --in DIR "
            "--question precision`, and import the answers"
        )
    asked = {task.item.task_id: task.item.item_id for batch in own for task in batch.tasks}
    votes = [(task, who, one.value) for (task, who), one in current_answers(answers).items() if task in asked]
    n_answers = Counter(task for task, _, _ in votes)
    if missing := sorted(set(asked) - set(n_answers)):
        raise DatasetError(
            f"{len(missing):,} of {len(asked):,} items of the audit have no answer, such as {asked[missing[0]]}; "
            "import more, since those that are left out may be the hard ones"
        )
    products = {claim.item_id: claim.product for claim in claims}
    cluster = {task: products[item] for task, item in asked.items()}
    is_judged = max(n_answers.values()) > 1
    probability = _judged if is_judged else _at_their_word
    tasks = sorted(asked)
    is_same = probability(votes, "same")
    same = np.array([is_same[task] for task in tasks])
    low, high = _interval(tasks, same, cluster, votes, probability)
    unclear = probability(votes, "unclear")
    return Precision(
        value=float(same.mean()),
        low=low,
        high=high,
        n_items=len(tasks),
        n_claims=len(claims),
        n_products=len(set(cluster.values())),
        n_people=len({who for _, who, _ in votes}),
        n_unclear=sum(unclear[task] > 0.5 for task in tasks),
        is_judged=is_judged,
    )


_Probability = Callable[[Sequence[Vote], str], Mapping[str, float]]


def _judged(votes: Sequence[Vote], value: str) -> dict[str, float]:
    """Task -> how probable it is that the value is true."""
    found = dawid_skene(votes, credit=_CREDIT)
    if value not in found.values:
        return dict.fromkeys(found.tasks, 0.0)
    return dict(zip(found.tasks, found.posterior[:, found.values.index(value)].tolist(), strict=True))


def _at_their_word(votes: Sequence[Vote], value: str) -> dict[str, float]:
    return {task: float(said == value) for task, _, said in votes}


def _interval(
    tasks: Sequence[str],
    same: Floats,
    cluster: Mapping[str, str],
    votes: Sequence[Vote],
    probability: _Probability,
) -> tuple[float | None, float | None]:
    names, at = np.unique([cluster[task] for task in tasks], return_inverse=True)
    numbers = dict(zip(names.tolist(), range(len(names)), strict=True))
    error = _refitted_error(numbers, cluster, votes, probability)
    is_open = np.abs(same - 0.5) < _SURE - 0.5
    low, _ = _ends(np.where(is_open, 0.0, same), at, error)
    _, high = _ends(np.where(is_open, 1.0, same), at, error)
    return low, high


def _ends(same: Floats, at: npt.NDArray[np.intp], error: float) -> tuple[float | None, float | None]:
    """The interval of a share over products, whose standard error is at least `error`."""
    sums = np.asarray(np.bincount(at, same), np.float64)
    share = estimate(sums, np.bincount(at).astype(np.float64))
    if 0 < share.standard_error < error:
        share = replace(share, shifts=share.shifts * (error / share.standard_error))
    found = share_interval(share)
    if found.low is None or found.high is None:
        return None, None
    low, high = _exact(share, len(same))
    return min(found.low, low), max(found.high, high)


def _exact(share: MetricEstimate, n: int) -> tuple[float, float]:
    """Clopper and Pearson's interval for as many items as would leave the share as uncertain, at most all of them.

    Where less than one item is wrong, or right, the spread says nothing: then it is as many as the products amount to,
    and the interval holds 1, or 0, since nothing says that any item is.
    """
    value = min(max(share.value, 0.0), 1.0)
    effective = float(n)
    n_right, n_wrong = n * value, n * (1 - value)
    if min(n_right, n_wrong) < 1:
        effective = 1 / float(np.sum(share.weights**2))
    elif share.standard_error > 0:
        effective = min(n, value * (1 - value) / share.standard_error**2)
    k = value * effective
    low = float(betaincinv(k, effective - k + 1, TAIL)) if n_right >= 1 else 0.0
    high = float(betaincinv(k + 1, effective - k, 1 - TAIL)) if n_wrong >= 1 else 1.0
    return low, high


def _refitted_error(
    numbers: Mapping[str, int], cluster: Mapping[str, str], votes: Sequence[Vote], probability: _Probability
) -> float:
    """The standard error by the jackknife over groups of products, with the annotators' errors estimated each time."""
    folds = min(_FOLDS, len(numbers))
    if folds < 2:
        return 0.0
    means = []
    for fold in range(folds):
        kept = probability([vote for vote in votes if numbers[cluster[vote[0]]] % folds != fold], "same")
        means.append(math.fsum(kept.values()) / len(kept))
    return math.sqrt((folds - 1) / folds * float(np.sum((np.array(means) - np.mean(means)) ** 2)))


def card_with_precision(card: str, found: Precision) -> str:
    """A dataset card with the number at its end, or before the section that follows it."""
    return f"{card}{_HEADING}\n{str(found)[0].upper()}{str(found)[1:]}.\n"


def precision_json(found: Precision) -> dict[str, Any]:
    """The number for the lineage."""
    return asdict(found)
