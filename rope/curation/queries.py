"""Search queries from the answers of annotators: what they called a product, and the samples that show it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rope.curation.annotation.decisions import split_pair
from rope.curation.annotation.label_files import Label, read_labels
from rope.dataset.directory import SampleLabels
from rope.dataset.directory import read_labels as read_samples
from rope.dataset.queries import QUERIES_FOLDER, QueryTable, query_problems, read_queries, write_queries
from rope.domain import DomainName, Split
from rope.errors import DatasetError
from rope.query import Positive, SampleKey, SearchQuery

__all__ = ["QueriesMade", "make_queries", "queries_from_labels"]

_CONFIRMED: Final = 2
"""The grade of a sample of which annotators said that it shows the product of another one of it."""


@dataclass(frozen=True, slots=True)
class QueriesMade:
    """Queries, and the names that made none.

    Attributes:
        queries: by id.
        n_elsewhere: names of samples that the split does not have.
        n_alone: names of samples whose product has no other sample in the split.
    """

    queries: list[SearchQuery]
    n_elsewhere: int
    n_alone: int


def make_queries(directory: Path, split: Split, labels: Path) -> tuple[QueryTable, QueriesMade]:
    """Make queries from labels, and put them beside the samples of a published dataset, replacing earlier ones.

    Args:
        directory: what `rope curate publish` has written.
        split: of which the queries are.
        labels: see `rope.curation.annotation.label_files.read_labels`.

    Raises:
        DatasetError: no label makes a query.
        FileError: the labels cannot be read.
    """
    samples = read_samples(directory, split)
    made = queries_from_labels(read_labels(labels), samples)
    if not made.queries:
        raise DatasetError(
            f"{labels}: no label makes a query: {made.n_elsewhere:,} names are of samples that the split {split} does "
            f"not have, {made.n_alone:,} of samples that are the only one of their product; export product_name of "
            "rows that are published"
        )
    if problems := query_problems(made.queries, samples):
        raise DatasetError(f"{labels}: {problems[0]}")
    written = write_queries(directory / QUERIES_FOLDER / f"{split}.parquet", made.queries)
    written.with_suffix(".jsonl").unlink(missing_ok=True)
    return read_queries(directory, split, samples), made


def queries_from_labels(labels: Sequence[Label], samples: Mapping[DomainName, SampleLabels]) -> QueriesMade:
    """One query for each sample that has a name, answered by the other samples of its product.

    The sample itself is not in the gallery of its query, since its name may be its text. Names of several samples of
    one product are paraphrases. A sample that annotators found to be the same product as another one of it has grade 2,
    the others have 1. What they found to be different from a sample of the product is a hard negative.

    Args:
        labels: of any questions; open ones are ignored.
        samples: of the split.

    Raises:
        DatasetError: two domains share an id, so that labels do not say which sample they are about.
    """
    ids = [one for rows in samples.values() for one in rows.sample_ids]
    if len(set(ids)) < len(ids):
        shared = next(one for one, n in Counter(ids).items() if n > 1)
        raise DatasetError(f"the id {shared!r} is that of samples of two domains, and labels name samples by id alone")
    key_of = {one: (domain, one) for domain, rows in samples.items() for one in rows.sample_ids}
    product_of, members = dict[SampleKey, str](), defaultdict[str, list[SampleKey]](list)
    for domain, rows in samples.items():
        for sample_id, product in zip(rows.sample_ids, rows.product_ids, strict=True):
            product_of[domain, sample_id] = product
            members[product].append((domain, sample_id))
    confirmed, different = _pairs(labels, key_of, product_of)
    queries, n_elsewhere, n_alone = list[SearchQuery](), 0, 0
    for label in labels:
        if label.question != "product_name" or not (label.label or "").strip():
            continue
        own = key_of.get(label.item_id)
        others = [] if own is None else [key for key in members[product_of[own]] if key != own]
        n_elsewhere, n_alone = n_elsewhere + (own is None), n_alone + (own is not None and not others)
        if own is None or not others:
            continue
        queries.append(
            SearchQuery(
                query_id=label.item_id,
                text=label.label,
                images=(),
                positives=tuple(Positive(*key, _CONFIRMED if key in confirmed else 1) for key in others),
                negatives=tuple(sorted(different[product_of[own]])),
                excluded=(own,),
                group=product_of[own],
            )
        )
    return QueriesMade(sorted(queries, key=lambda query: query.query_id), n_elsewhere, n_alone)


def _pairs(
    labels: Sequence[Label], key_of: Mapping[str, SampleKey], product_of: Mapping[SampleKey, str]
) -> tuple[set[SampleKey], defaultdict[str, set[SampleKey]]]:
    """The samples that are confirmed, and for each product those that are said to be another one."""
    confirmed, different = set[SampleKey](), defaultdict[str, set[SampleKey]](set)
    for label in labels:
        pair = None if label.question == "product_name" else split_pair(label.item_id, key_of)
        if pair is None:
            continue
        left, right = (key_of[one] for one in pair)
        is_one = product_of[left] == product_of[right]
        if label.label == "same" and is_one:
            confirmed |= {left, right}
        elif label.label == "different" and not is_one:
            different[product_of[left]].add(right)
            different[product_of[right]].add(left)
    return confirmed, different
