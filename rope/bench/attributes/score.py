"""One column scored: what is learned from each domain, tested on each, always on other products."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import numpy as np

from rope.arrays import BoolArray, FloatArray
from rope.bench.attributes.columns import Column
from rope.bench.attributes.examples import Examples, LabelledSamples, deal_folds, frequent_labels, gather, strata_of
from rope.bench.attributes.few_shot import few_shot_correct
from rope.bench.attributes.knn import knn_correct, majority_correct, wins
from rope.bench.attributes.probes import fit_probe
from rope.bench.attributes.tagging import estimate_tags
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.one_shot import Draws
from rope.bench.stats.intervals import Interval, MetricEstimate, average, micro_estimate, share_interval
from rope.config import Count, NumberRange, check_record
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, Pair, pair_of
from rope.errors import UsageError

__all__ = [
    "MAJORITY",
    "PROBE",
    "AttributeScore",
    "Embedded",
    "Evaluation",
    "MethodScore",
    "Settings",
    "count_rounds",
    "score_attribute",
]

Evaluation = Literal["train to test", "cross-validation"]
"""Whether the examples are another split, or the other products of the same one."""

Estimates = dict[str, dict[str, dict[str, MetricEstimate]]]
"""Method -> pair -> metric -> estimate."""

MAJORITY: Final = "majority"
PROBE: Final = "linear probe"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of attribute prediction: folds, neighbours, shots, draws and seed.

    Attributes:
        seed: of folds and draws.
        folds: of cross-validation.
        k: neighbours that vote.
        shots: products of each class that few-shot classification sees, one method each.
        draws: of few-shot classification.

    Raises:
        UsageError: a number is out of range, or shots are repeated.
    """

    seed: Annotated[int, NumberRange(0)]
    folds: Annotated[int, NumberRange(2)] = 5
    k: Count = 10
    shots: tuple[Count, ...] = (1, 5, 20)
    draws: Count = 20

    def __post_init__(self) -> None:
        check_record(self)
        if len(set(self.shots)) < len(self.shots):
            raise UsageError(f"shots are repeated: {self.shots}")


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The embeddings and labels of one split; they meet by sample id, in `rope.bench.attributes.examples.gather`."""

    embeddings: Mapping[DomainName, DomainEmbeddings]
    labels: Mapping[DomainName, SampleLabels]

    @property
    def product_ids(self) -> list[str]:
        """Every product of the split, in code-point order."""
        return sorted({product for rows in self.labels.values() for product in rows.product_ids})


@dataclass(frozen=True, slots=True)
class MethodScore:
    """What one method scored in one pair: learned from the first domain, tested on the second.

    Attributes:
        n_samples: samples tested.
        n_unseen: samples left out because no example of the first domain has their class.
        n_labels: classes or tags that occur among the samples tested.
        metrics: `accuracy` and `macro accuracy`, or `mAP`, `micro F1` and `macro F1`, with 95 % intervals by product.
        draws: the accuracy of each draw, for a method that draws.
    """

    n_samples: int
    n_unseen: int
    n_labels: int
    metrics: dict[str, Interval]
    draws: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeScore:
    """Everything that is reported of one column.

    Attributes:
        column: its name.
        is_tags: whether it holds tags.
        sha256: of the file of labels; None for the products table.
        evaluation: what the examples are.
        settings: as given.
        labels: what can be predicted, in code-point order.
        n_products: products that are tested.
        n_unlabelled: products of the tested split of which the column says nothing.
        n_left_out: products of the tested split whose class cannot be learned: no product of the other split has it,
            or, in cross-validation, no second product.
        strengths: the regularisation of the probe fitted to each domain, one a fold.
        methods: method -> pair -> what it scored; a pair in which nothing could be tested is absent.
        means: method -> `within` and `across` -> metric -> the mean over the pairs of a domain with itself, and of two
            different ones.
    """

    column: str
    is_tags: bool
    sha256: str | None
    evaluation: Evaluation
    settings: Settings
    labels: tuple[str, ...]
    n_products: int
    n_unlabelled: int
    n_left_out: int
    strengths: dict[DomainName, tuple[float, ...]]
    methods: dict[str, dict[str, MethodScore]]
    means: dict[str, dict[str, dict[str, Interval]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """What was answered of all samples, learned from one domain.

    Attributes:
        known: bool [n], samples whose label could be learned.
        values: method -> float64 [n, draws], how right it is; for tags [n, labels], log odds.
        strengths: one a fold.
    """

    known: BoolArray
    values: dict[str, FloatArray] = field(default_factory=dict)
    strengths: list[float] = field(default_factory=list)


def score_attribute(
    column: Column,
    test: Embedded,
    settings: Settings,
    train: Embedded | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> AttributeScore:
    """Score a column on every ordered pair of domains, with all methods that fit it.

    Given the embeddings of another split, everything is learned there and all of `test` is tested. Otherwise the
    products of `test` are dealt into folds, and each fold is tested with what the others teach. Either way no product
    is on both sides.

    Args:
        column: classes or tags.
        test: what is tested.
        settings: seed and sizes.
        train: another split, whose products are not in `test`.
        advance: called with 1 after every round; there are `count_rounds`.

    Raises:
        UsageError: there is nothing to predict, or torch is not installed.
        ValueError: a product is in both splits, or the dimensions differ.
    """
    examples_of = train or test
    if train is not None and not set(train.product_ids).isdisjoint(test.product_ids):
        raise ValueError("a product is in both splits")
    known = frequent_labels(column, examples_of.product_ids, 2 if train is None else 1)
    pool = gather(test.embeddings, test.labels, column, known)
    if not pool.targets.any():
        raise UsageError(
            f"the column {column.name!r} says nothing that could be learned of the products that are tested; "
            "give labels of both splits"
        )
    other = None if train is None else gather(train.embeddings, train.labels, column, known)
    answer = _tag_answers if column.is_tags else _class_answers
    answers = {domain: answer(pool, other, domain, settings, advance) for domain in pool.domains}
    cells, estimates = _cells(pool, answers, column.is_tags)
    n_labelled = sum(product in column.values for product in test.product_ids)
    return AttributeScore(
        column=column.name,
        is_tags=column.is_tags,
        sha256=column.sha256,
        evaluation="cross-validation" if train is None else "train to test",
        settings=settings,
        labels=tuple(known),
        n_products=len(pool.targets),
        n_unlabelled=len(test.product_ids) - n_labelled,
        n_left_out=n_labelled - len(pool.targets),
        strengths={domain: tuple(one.strengths) for domain, one in answers.items()},
        methods=cells,
        means={method: _means(of_pairs) for method, of_pairs in estimates.items()},
    )


def count_rounds(test: Embedded, settings: Settings, train: Embedded | None = None) -> int:
    """How often something is learned: the total of a progress bar."""
    return len(test.labels) * (settings.folds if train is None else 1)


def _rounds(
    test: LabelledSamples, train: LabelledSamples | None, domain: DomainName, settings: Settings
) -> Iterator[tuple[Examples, BoolArray]]:
    """The examples of a domain to learn from, and which samples of all domains to test: bool [n]."""
    if train is not None:
        of_domain = train.domain_of == train.domains.index(domain)
        yield train.examples.take(of_domain), np.ones(len(test.examples), np.bool_)
        return
    folds = deal_folds(strata_of(test.targets), settings.folds, settings.seed)[test.examples.products]
    of_domain = test.domain_of == test.domains.index(domain)
    for fold in range(settings.folds):
        yield test.examples.take(of_domain & (folds != fold)), folds == fold


def _class_answers(
    test: LabelledSamples,
    train: LabelledSamples | None,
    domain: DomainName,
    settings: Settings,
    advance: Callable[[int], None],
) -> _Answers:
    answers = _Answers(np.zeros(len(test.examples), np.bool_))
    for examples, tested in _rounds(test, train, domain, settings):
        known = tested & test.examples.targets[:, examples.targets.any(axis=0)].any(axis=1)
        if known.any():
            answers.known[known] = True
            asked = test.examples.take(known)
            probe, strength = fit_probe(examples, "softmax", settings.seed)
            answers.strengths.append(strength)
            _note(answers, MAJORITY, known, majority_correct(examples, asked)[:, None])
            _note(answers, PROBE, known, wins(probe.logits(asked.units), asked.classes)[:, None])
            _note(answers, f"{settings.k}-NN", known, knn_correct(examples, asked, settings.k)[:, None])
            for shots in settings.shots:
                draws = Draws(settings.seed, settings.draws, shots)
                _note(answers, f"{shots}-shot", known, few_shot_correct(examples, asked, draws))
        advance(1)
    return answers


def _tag_answers(
    test: LabelledSamples,
    train: LabelledSamples | None,
    domain: DomainName,
    settings: Settings,
    advance: Callable[[int], None],
) -> _Answers:
    answers = _Answers(np.zeros(len(test.examples), np.bool_))
    for examples, tested in _rounds(test, train, domain, settings):
        if len(examples) and tested.any():
            answers.known[tested] = True
            probe, strength = fit_probe(examples, "sigmoid", settings.seed)
            answers.strengths.append(strength)
            usual = np.where(examples.targets.mean(axis=0) > 0.5, 1.0, -1.0)
            _note(answers, MAJORITY, tested, np.tile(usual, (int(np.count_nonzero(tested)), 1)))
            _note(answers, PROBE, tested, probe.logits(test.examples.units[tested]))
        advance(1)
    return answers


def _note(answers: _Answers, method: str, rows: BoolArray, values: FloatArray) -> None:
    answers.values.setdefault(method, np.zeros((len(rows), values.shape[1])))[rows] = values


def _cells(
    pool: LabelledSamples, answers: Mapping[DomainName, _Answers], is_tags: bool
) -> tuple[dict[str, dict[str, MethodScore]], Estimates]:
    """What every method scored in every pair in which something was tested, method by method."""
    cells: dict[str, dict[str, MethodScore]] = {}
    estimates: Estimates = {}
    for learned, of_domain in answers.items():
        for b, tested in enumerate(pool.domains):
            here = pool.domain_of == b
            rows = here & of_domain.known
            asked = pool.examples.take(rows)
            if not asked.targets.any():
                continue
            name = Pair(learned, tested).name
            for method, values in of_domain.values.items():
                found = (_tag_estimates if is_tags else _class_estimates)(asked, values[rows], len(pool.targets))
                estimates.setdefault(method, {})[name] = found
                cells.setdefault(method, {})[name] = MethodScore(
                    n_samples=len(asked),
                    n_unseen=int(np.count_nonzero(here & ~of_domain.known)),
                    n_labels=int(np.count_nonzero(asked.targets.any(axis=0))),
                    metrics={metric: share_interval(one) for metric, one in found.items()},
                    draws=_draws(values[rows]) if not is_tags else (),
                )
    return cells, estimates


def _draws(values: FloatArray) -> tuple[float, ...]:
    return tuple(values.mean(axis=0).tolist()) if values.shape[1] > 1 else ()


def _class_estimates(asked: Examples, values: FloatArray, n_products: int) -> dict[str, MetricEstimate]:
    """Accuracy over samples, and the mean over classes of that of each; over draws, the mean."""
    right, classes = values.mean(axis=1), asked.classes
    by_class = [
        micro_estimate(right[classes == one], asked.products[classes == one], n_products) for one in np.unique(classes)
    ]
    return {
        "accuracy": micro_estimate(right, asked.products, n_products),
        "macro accuracy": average(by_class),
    }


def _tag_estimates(asked: Examples, scores: FloatArray, n_products: int) -> dict[str, MetricEstimate]:
    found = estimate_tags(scores, asked.targets, asked.products, n_products)
    return {"mAP": found.mean_average_precision, "micro F1": found.micro_f1, "macro F1": found.macro_f1}


def _means(of_pairs: Mapping[str, Mapping[str, MetricEstimate]]) -> dict[str, dict[str, Interval]]:
    groups: dict[str, Sequence[Mapping[str, MetricEstimate]]] = {
        "within": [found for name, found in of_pairs.items() if pair_of(name).query == pair_of(name).gallery],
        "across": [found for name, found in of_pairs.items() if pair_of(name).query != pair_of(name).gallery],
    }
    return {
        group: {metric: share_interval(average([one[metric] for one in found])) for metric in found[0]}
        for group, found in groups.items()
        if found
    }
