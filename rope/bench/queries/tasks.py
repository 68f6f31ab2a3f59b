"""Which task each query is part of, by what it consists of, what it is searched among, and whether that is its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rope.dataset.directory import SampleLabels
from rope.domain import DomainName, in_order
from rope.query import QUERY_KINDS, QueryKind, SearchQuery

__all__ = ["MIXED", "TASKS_VERSION", "QueryTask", "clusters_of", "plan_tasks"]

TASKS_VERSION: Final = "1.0"
"""Version of docs/queries.md; a change that can move any number changes it."""

MIXED: Final = "mixed"
"""What the gallery of all domains together is called in the name of a task."""


@dataclass(frozen=True, slots=True)
class QueryTask:
    """One task: queries of one kind in one gallery.

    Attributes:
        kind: what its queries consist of.
        domain: of its gallery; None for all domains together.
        is_within: whether each query is searched among samples of its own choice.
        queries: the numbers of its queries in the table; those without a positive in the gallery are among them.
    """

    kind: QueryKind
    domain: DomainName | None
    is_within: bool
    queries: tuple[int, ...]

    @property
    def name(self) -> str:
        """`text-to-page`, `composed-to-mixed-within` and so on."""
        return f"{self.kind}-to-{self.domain or MIXED}{'-within' if self.is_within else ''}"


def plan_tasks(queries: Sequence[SearchQuery], domains: Sequence[DomainName]) -> list[QueryTask]:
    """The tasks that have a query with a positive, by kind, gallery, and whether that is the query's own.

    Each query is searched for in every domain and, where there are several, in all together.

    Args:
        queries: in any order.
        domains: of the dataset.
    """
    galleries: list[DomainName | None] = [*in_order(domains), *([None] if len(domains) > 1 else [])]
    found = []
    for is_within in (False, True):
        for kind in QUERY_KINDS:
            own = [i for i, one in enumerate(queries) if one.kind == kind and one.has_own_gallery == is_within]
            answered = {positive.domain for i in own for positive in queries[i].positives}
            found += [
                QueryTask(kind, domain, is_within, tuple(own))
                for domain in galleries
                if own and (domain is None or domain in answered)
            ]
    return found


def clusters_of(queries: Sequence[SearchQuery], labels: Mapping[DomainName, SampleLabels]) -> list[str]:
    """What counts as independent: the product of each query's best positive, or for paraphrases that of their first.

    The best positive has the highest grade; of several, it is the first by domain and id. The first of a group is the
    query with the lowest id, in order of code points.
    """
    product_of = {domain: dict(zip(rows.sample_ids, rows.product_ids, strict=True)) for domain, rows in labels.items()}
    place = {domain: i for i, domain in enumerate(in_order(labels))}
    firsts: dict[str, str] = {}
    clusters = [""] * len(queries)
    for i in sorted(range(len(queries)), key=lambda i: queries[i].query_id):
        best = min(queries[i].positives, key=lambda one: (-one.grade, place[one.domain], one.sample_id))
        own = product_of[best.domain][best.sample_id]
        group = queries[i].group
        clusters[i] = own if group is None else firsts.setdefault(group, own)
    return clusters
