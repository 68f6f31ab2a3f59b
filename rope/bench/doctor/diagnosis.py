"""The whole diagnosis: rows, shapes, gaps, retrieval, and what to do about them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from rope.bench.doctor.findings import Finding, find
from rope.bench.doctor.geometry import DomainGeometry, Gap, Moments, measure_gap, measure_shape, moments
from rope.bench.doctor.retrieval import Retrieval, count_rankings, diagnose_retrieval
from rope.bench.doctor.rows import RowReport, UsableRows, number_products, sort_out
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.ranking.engine import ComputeSettings
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, in_order, label_of

__all__ = ["SCHEMA_VERSION", "Diagnosis", "as_json", "count_similarities", "diagnose"]

SCHEMA_VERSION: Final = 1
"""Version of the layout of `as_json`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that the doctor says of one set of embeddings.

    Attributes:
        findings: what is wrong and what to do, the worst first.
        skipped: sentences that say what could not be looked at, and why.
        rows: of every domain.
        shapes: of the domains with a usable row.
        gaps: `P-V` and so on, for two such domains of one dimension.
        retrieval: None where it could not be looked at.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    rows: dict[DomainName, RowReport]
    shapes: dict[DomainName, DomainGeometry]
    gaps: dict[str, Gap]
    retrieval: Retrieval | None


def diagnose(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    compute: ComputeSettings,
) -> Diagnosis:
    """Look at the embeddings of one split, whether or not they can be scored.

    Rows that cannot be compared are named and left out, and the rest is diagnosed. Nothing is drawn at random.

    Args:
        embeddings: as read, in any order; domains may be missing.
        labels: of every domain of the dataset.
        compute: how to spend the machine; its `advance` is called with at most `count_similarities` in all.
    """
    number = number_products(labels)
    rows: dict[DomainName, RowReport] = {}
    sides: dict[DomainName, UsableRows] = {}
    for domain in in_order(labels):
        rows[domain], side = sort_out(embeddings.get(domain), labels[domain], number)
        if side is not None:
            sides[domain] = side
    of = {domain: moments(side.labelled.vectors) for domain, side in sides.items()}
    shapes = {domain: measure_shape(of_domain) for domain, of_domain in of.items()}
    gaps = _gaps(sides, of)
    skipped = _obstacles(rows, sides, labels)
    retrieval = None if skipped else diagnose_retrieval(sides, of, compute)
    if retrieval is not None and retrieval.frontier is None:
        skipped.append(
            "The cost frontier: most queries tie, so there is nothing to lose by making the vectors smaller."
        )
    if retrieval is not None and not retrieval.sizes:
        skipped.append("Growth of the gallery: some query has no negative.")
    findings = find(rows, shapes, gaps, retrieval)
    return Diagnosis(findings, tuple(skipped), rows, shapes, gaps, retrieval)


def count_similarities(
    embeddings: Mapping[DomainName, DomainEmbeddings], labels: Mapping[DomainName, SampleLabels]
) -> int:
    """About how many similarities `diagnose` will compute; the total of a progress bar."""
    n = [len(of_domain.sample_ids) for of_domain in labels.values()]
    dim = max((of_domain.vectors.shape[1] for of_domain in embeddings.values()), default=0)
    return count_rankings(dim) * sum(a * b for a, b in combinations(n, 2))


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Every number of the page as plain JSON values: fractions in full precision, null where one is not defined."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(diagnosis), allow_nan=False))
    return {"schema_version": SCHEMA_VERSION, **plain}


def _gaps(sides: Mapping[DomainName, UsableRows], of: Mapping[DomainName, Moments]) -> dict[str, Gap]:
    gaps: dict[str, Gap] = {}
    for a, b in combinations(sides, 2):
        left, right = sides[a].labelled.vectors, sides[b].labelled.vectors
        if left.dim == right.dim:
            gaps[f"{label_of(a)}-{label_of(b)}"] = measure_gap(left, of[a], right, of[b])
    return gaps


def _obstacles(
    rows: Mapping[DomainName, RowReport],
    sides: Mapping[DomainName, UsableRows],
    labels: Mapping[DomainName, SampleLabels],
) -> list[str]:
    """Why the cross-domain pairs cannot be looked at, a sentence each; empty if they can."""
    empty = [domain for domain in rows if domain not in sides]
    if empty:
        return [f"Retrieval: no usable row for {domain}." for domain in empty]
    if len(rows) == 1:
        return [f"Retrieval: the dataset has one domain, {', '.join(rows)}, and the doctor looks at pairs of two."]
    if any(of_domain.galleries is not None for of_domain in labels.values()):
        return ["Retrieval: queries have their own galleries, and the doctor looks at whole domains."]
    if len({report.dim for report in rows.values()}) > 1:
        listed = ", ".join(f"{domain} {report.dim}" for domain, report in rows.items())
        return [f"Retrieval: the dimension differs between domains ({listed})."]
    return [
        f"Retrieval: no product has both a usable {a} and a usable {b}."
        for a, b in combinations(sides, 2)
        if not np.isin(sides[a].labelled.products, sides[b].labelled.products).any()
    ]
