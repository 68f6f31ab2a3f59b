"""What the numbers mean, in plain sentences: one finding, one thing to do.

Each threshold is a convention with its reason next to it; none of them changes a number.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rope.bench.doctor.charts import in_words
from rope.bench.doctor.geometry import DomainGeometry, Gap
from rope.bench.doctor.retrieval import Retrieval
from rope.bench.doctor.rows import RowFault, RowReport
from rope.domain import DomainName, domain_of_label

__all__ = ["Finding", "Severity", "find"]

Severity = Literal["fault", "warning", "note"]
"""`fault`: the embeddings cannot be scored; `warning`: points are lost; `note`: worth knowing."""

LONG_TO_SHORT: Final = 2.0
"""Ratio of long to short vectors (95 % to 5 %) above which a dot product ranks by length as much as by direction."""

NARROW_CONE: Final = 0.5
"""Mean cosine of two samples above which more than half of every similarity is common to all of them."""

LOW_RANK: Final = 0.1
"""Share of the possible dimensions in use below which most of the stored numbers say nothing."""

WIDE_GAP: Final = 0.9
"""Share of samples whose domain can be told from one number above which a domain is its own cluster."""

POINTS: Final = 0.5
"""Percentage points that matter in a split of 2,500 products: about one standard error of its headline. With fewer
products the error, and with it what matters, grows as one over the root of their number."""

TIED_POINTS: Final = 0.1
"""Percentage points between ties counted against and for the model; continuous embeddings hardly ever tie."""

TIED_SHARE: Final = 0.1
"""Share of queries lost to ties above which the order of neighbours, and so a hub, is an accident."""

SKEWED: Final = 3.0
"""Skewness of N_10 above which some samples are hubs; lists filled at random (Poisson, mean 10) have 0.3."""

NEVER_FOUND: Final = 0.2
"""Share of a gallery in no list above which the gallery is smaller than it seems; at random (mean 10) it is e^-10."""

LOPSIDED_POINTS: Final = 3.0
"""Percentage points between the two directions of a pair; a few are normal where the galleries differ."""

CHEAP_POINTS: Final = 1.0
"""Percentage points that most would give for vectors of a fraction of the size."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of the diagnosis, with its advice.

    Attributes:
        severity: how bad it is.
        what: a sentence with the number.
        advice: a sentence that says what to do.
    """

    severity: Severity
    what: str
    advice: str


def find(
    rows: Mapping[DomainName, RowReport],
    shapes: Mapping[DomainName, DomainGeometry],
    gaps: Mapping[str, Gap],
    retrieval: Retrieval | None,
) -> tuple[Finding, ...]:
    """All findings, faults first, then warnings, then notes, otherwise in the order of the page.

    Args:
        rows: of every domain.
        shapes: of the domains with a usable row.
        gaps: `P-V` and so on -> gap, where both can be measured.
        retrieval: None where it was skipped.
    """
    found = [finding for domain, report in rows.items() for finding in _of_rows(domain, report)]
    found += _of_norms(rows)
    found += _of_shapes(shapes, rows)
    if retrieval is not None:
        found += _of_centring(gaps, retrieval)
        found += _of_ties(retrieval)
        found += _of_hubs(retrieval) if retrieval.tied < TIED_SHARE else ()
        found += _of_pairs(retrieval)
        found += _of_cost(retrieval)
    order: tuple[Severity, ...] = ("fault", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _of_rows(domain: DomainName, report: RowReport) -> Iterator[Finding]:
    faults = (
        (report.missing, "without an embedding", "Embed them: a score needs one vector for every sample."),
        (report.unknown, "that the split does not have", "Check that the embeddings are of this dataset and split."),
        (report.repeated, "with more than one embedding", "Keep one row of each; which is right cannot be known here."),
        (report.not_finite, "with NaN or infinity", "Look for overflow in half precision and for empty inputs."),
        (
            report.zero,
            "with a zero vector, which has no direction",
            "Look for empty text, unreadable images or padding.",
        ),
    )
    for fault, what, advice in faults:
        if fault.count:
            yield Finding("fault", f"{domain}: {_samples(fault)} {what} ({_ids(fault)}).", advice)
    across = report.copies_across_products
    if across.count:
        yield Finding(
            "warning",
            f"{domain}: {_samples(across)} with the same vector as a sample of another product ({_ids(across)}).",
            "No ranking can tell them apart, and a tie is lost: look for placeholder images and empty text.",
        )
    elif report.copies.count:
        yield Finding(
            "note",
            f"{domain}: {_samples(report.copies)} with the same vector as another sample of the product "
            f"({_ids(report.copies)}).",
            "This costs nothing, but look for samples that were embedded twice.",
        )


def _of_norms(rows: Mapping[DomainName, RowReport]) -> Iterator[Finding]:
    for domain, report in rows.items():
        norms = report.norms
        if norms is not None and norms.p95 > LONG_TO_SHORT * norms.p5:
            yield Finding(
                "note",
                f"{domain}: long vectors (95 %) are {norms.p95 / norms.p5:.1f} times as long as short ones (5 %).",
                "The protocol compares directions only; normalise before any index that uses dot products.",
            )


def _of_shapes(shapes: Mapping[DomainName, DomainGeometry], rows: Mapping[DomainName, RowReport]) -> Iterator[Finding]:
    for domain, shape in shapes.items():
        possible = min(rows[domain].dim, rows[domain].n_usable - 1)
        if rows[domain].n_usable > 1 and shape.effective_rank == 0:
            yield Finding(
                "warning",
                f"{domain}: all samples have the same direction.",
                "The model ignores its input here: check the inputs and the checkpoint.",
            )
            continue
        if shape.mean_cosine is not None and shape.mean_cosine > NARROW_CONE:
            yield Finding(
                "warning",
                f"{domain}: two different samples have a cosine of {shape.mean_cosine:.2f} on average: a narrow cone.",
                "Subtract the training mean (rope-bench score EMB --centre TRAIN), and check the temperature of the "
                "contrastive loss.",
            )
        if 0 < shape.effective_rank < LOW_RANK * possible:
            yield Finding(
                "note",
                f"{domain}: the vectors vary in about {shape.effective_rank:.0f} of {possible:,} possible dimensions.",
                "Fewer dimensions would hold as much: see the cost frontier.",
            )


def _of_centring(gaps: Mapping[str, Gap], retrieval: Retrieval) -> Iterator[Finding]:
    gain = 100 * retrieval.centred.change
    widest = max((gap.told_apart or 0, name) for name, gap in gaps.items())
    apart = f"; one number tells {' from '.join(widest[1].split('-'))} for {widest[0]:.0%} of the samples"
    if gain >= _points_that_matter(retrieval):
        yield Finding(
            "warning",
            f"Mean-centring each domain would add {gain:.1f} points to the headline{apart}.",
            "Subtract the training mean of each domain: rope-bench score EMB --centre TRAIN shows what is gained.",
        )
    elif widest[0] > WIDE_GAP:
        yield Finding(
            "note",
            f"The domains lie apart, but mean-centring each changes the headline by {gain:+.1f} points only{apart}.",
            "Leave the means as they are: the gap is not what costs points.",
        )


def _of_ties(retrieval: Retrieval) -> Iterator[Finding]:
    points = 100 * retrieval.tied
    if points > TIED_POINTS:
        yield Finding(
            "warning",
            f"Ties cost {points:.1f} points: so many queries have a negative exactly as similar as the best positive.",
            "Look for copies, coarse quantisation or a collapsed model.",
        )


def _of_hubs(retrieval: Retrieval) -> Iterator[Finding]:
    skewed = {name: of_pair.hubs for name, of_pair in retrieval.pairs.items() if (of_pair.hubs.skewness or 0) > SKEWED}
    if skewed:
        name, hubs = max(skewed.items(), key=lambda item: (item[1].skewness or 0, item[0]))
        worst = hubs.worst[0]
        yield Finding(
            "warning",
            f"Hubs in {', '.join(skewed)}: the worst, sample {worst.sample_id!r} of {name}, is among the nearest "
            f"{hubs.list_length} of {worst.n_lists:,} queries, expected {hubs.expected:.0f}.",
            f"Look at these samples: rope-bench gallery EMB --choose hubs --pair {name} --html hubs.html. "
            "rope-bench score EMB --csls TRAIN scales similarities by the local density and shows what is gained.",
        )
    unseen = {name: of_pair.hubs.never for name, of_pair in retrieval.pairs.items() if of_pair.hubs.never > NEVER_FOUND}
    if unseen:
        name = max(unseen, key=lambda pair: (unseen[pair], pair))
        yield Finding(
            "warning",
            f"{unseen[name]:.0%} of the gallery of {name} is in no query's nearest "
            f"{retrieval.pairs[name].hubs.list_length} (above {NEVER_FOUND:.0%} in {', '.join(unseen)}).",
            "These samples can hardly be found: see whether they are of one kind, such as clips without speech.",
        )


def _of_pairs(retrieval: Retrieval) -> Iterator[Finding]:
    weakest = retrieval.bottleneck
    lowest, next_lowest, *_ = sorted(retrieval.by_domain.values())
    behind, n_pairs = 100 * (next_lowest - lowest), in_words(2 * len(retrieval.by_domain) - 2)
    if weakest is not None and behind >= _points_that_matter(retrieval):
        yield Finding(
            "note",
            f"{weakest.capitalize()} is the bottleneck: the {n_pairs} pairs it is part of have a mean R@1 of "
            f"{lowest:.1%}, {behind:.1f} points below the next domain.",
            f"Work on the {weakest} encoder and its inputs first; see rope-bench gallery EMB --html worst.html.",
        )
    for name, difference in retrieval.asymmetry.items():
        if abs(100 * difference) >= max(LOPSIDED_POINTS, _points_that_matter(retrieval)):
            first, second = name.split("-")
            better, worse = (first, second) if difference > 0 else (second, first)
            gallery = domain_of_label(better)
            yield Finding(
                "note",
                f"{better}2{worse} is {abs(100 * difference):.1f} points above {worse}2{better}.",
                f"The similarities are the same; look at hubs in the {gallery} gallery and at its size.",
            )


def _of_cost(retrieval: Retrieval) -> Iterator[Finding]:
    full, *smaller = retrieval.frontier or (None,)
    if full is None:
        return
    enough = [p for p in smaller if -100 * p.accuracy.change <= CHEAP_POINTS]
    if enough:
        point = min(enough, key=lambda p: (p.bytes_per_sample, -p.accuracy.headline))
        yield Finding(
            "note",
            f"{point.name} takes {point.bytes_per_sample:,} bytes a sample instead of {full.bytes_per_sample:,} "
            f"and changes the headline by {100 * point.accuracy.change:+.1f} points.",
            "Store these where space matters.",
        )


def _points_that_matter(retrieval: Retrieval) -> float:
    return POINTS * math.sqrt(max(1.0, 2500 / retrieval.n_products))


def _samples(fault: RowFault) -> str:
    return f"{fault.count:,} sample{'' if fault.count == 1 else 's'}"


def _ids(fault: RowFault) -> str:
    more = ", …" if fault.count > len(fault.examples) else ""
    return ", ".join(fault.examples) + more
