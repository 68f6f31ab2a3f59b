"""The official metrics of Product1M, counted as the script `evaluate_suit.py` of its authors counts them.

They are not those of docs/protocol.md, and are reported under their own names. A query may show several products, and
its labels are kept with repetitions; a gallery page counts by its first label alone. With L the labels of a query, U
those that differ, c(l) the gallery pages of a label, and r the ranked ids, for K = 10, 50, 100:

* **mAP** and **Prec** look at the first k = min(K, P, len(r)) ids, where P is the sum of c(l) over L, repetitions
  counted again. An id is a hit if its label is in U. Average precision is divided by the number of hits among the k.
* **mAR** looks at the first K ids. Each l in U wants e(l) = min(m(l) * floor(K / |L|), c(l)) of them, m(l) being how
  often it is in L; the query scores the mean over U of min(found, e(l)) / e(l).

All lines of the ranking count in the means. Where the script fails on a line, it keeps what it has added before: a
query without a known label scores nothing, and one with an id from outside the gallery among the first K, or with more
labels than K, has no recall. Scores are not read, so whoever made the ranking has decided ties.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.io.embeddings import DomainEmbeddings
from rope.errors import EmbeddingError, ReleaseError, UsageError
from rope.sources.product1m import BETWEEN_FIELDS, labels_of
from rope.table import Table

__all__ = [
    "CUTOFFS",
    "Product1mMetrics",
    "Truth",
    "count_strange",
    "evaluate_ranking",
    "figures_json",
    "figures_table",
    "mean_figures",
    "rank_embeddings",
    "read_ranking",
    "read_truth",
    "score_query",
]

CUTOFFS: Final = (10, 50, 100)
"""The values of K."""

_N_FIELDS: Final = 5
_QUERIES_A_BLOCK: Final = 256
_QUERIES: Final = ("product1m_dev_ossurl_v2.txt", "product1m_test_ossurl_v2.txt")
_GALLERY: Final = "product1m_gallery_ossurl_v2.txt"


@dataclass(frozen=True, slots=True)
class Truth:
    """The right answers to one query.

    Attributes:
        labels: query id -> its labels, repetitions included.
        label_of: gallery id -> its first label.
        n_of_label: label -> gallery pages.
    """

    labels: Mapping[str, Sequence[str]]
    label_of: Mapping[str, str]
    n_of_label: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Product1mMetrics:
    """The official figures of one query, or their means, under their official names: fractions.

    Attributes:
        average_precision: `mAP`.
        precision: `Prec`.
        average_recall: `mAR`.
    """

    average_precision: float
    precision: float
    average_recall: float


def read_truth(folder: Path) -> Truth:
    """Read the queries of dev and test, and the gallery.

    Raises:
        UsageError: a file is missing.
        ReleaseError: a line has other than five fields, or no label.
    """
    queries = {query: labels for name in _QUERIES for query, labels in _read_labels(folder / name)}
    label_of = {page: labels[0] for page, labels in _read_labels(folder / _GALLERY)}
    return Truth(queries, label_of, Counter(label_of.values()))


def read_ranking(path: Path) -> list[tuple[str, list[str]]]:
    """Read a ranking: one line per query, its id and then the ids found, best first, all separated by commas.

    As in the script of the authors, blanks beside an id are part of it, so that nothing is found where commas are
    followed by blanks (`count_strange` finds such ids), and a query that occurs twice counts twice.

    Raises:
        UsageError: the file does not exist, is not text, or has no line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a ranking ({error})") from error
    ranking = [line.strip().split(",") for line in lines]
    if not ranking:
        raise UsageError(
            f"{path}: is empty; expected one line per query: its id, then the ids found, separated by commas"
        )
    return [(query, found) for query, *found in ranking]


def count_strange(ranking: Iterable[tuple[str, Sequence[str]]], truth: Truth) -> dict[str, int]:
    """What costs a ranking points without anybody noticing: kind -> lines.

    >>> truth = Truth({"q": ["cup"]}, {"1": "cup"}, {"cup": 1})
    >>> count_strange([("q", ["1"]), ("q", [" 1"]), ("x", [])], truth)
    {'unknown queries': 1, 'queries repeated': 1, 'lines with ids that are not in the gallery': 1, 'queries missing': 0}
    """
    lines = list(ranking)
    queries = {query for query, _ in lines}
    return {
        "unknown queries": sum(query not in truth.labels for query, _ in lines),
        "queries repeated": len(lines) - len(queries),
        "lines with ids that are not in the gallery": sum(
            any(one not in truth.label_of for one in found) for _, found in lines
        ),
        "queries missing": len(truth.labels.keys() - queries),
    }


def rank_embeddings(pages: DomainEmbeddings, truth: Truth) -> list[tuple[str, list[str]]]:
    """The ranking that embeddings give: for each query the most similar pages of the gallery, as many as the largest K.

    Similarity is the cosine in float64, rounded to 12 decimals; of pages that are equally similar, the first by id
    comes first.

    Args:
        pages: vectors of all queries and of the whole gallery, and perhaps of other pages.
        truth: what queries and gallery consist of.

    Raises:
        EmbeddingError: a query or a page of the gallery has no vector, or one without a direction.
    """
    row_of = {page: row for row, page in enumerate(pages.sample_ids)}
    queries, gallery = list(truth.labels), sorted(truth.label_of)
    missing = [one for one in (*queries, *gallery) if one not in row_of]
    if missing:
        raise EmbeddingError(
            f"{len(missing)} of {len(queries) + len(gallery)} pages have no embedding: {', '.join(missing[:5])}"
        )
    wanted = {name: _units(pages, [row_of[one] for one in ids]) for name, ids in (("q", queries), ("g", gallery))}
    ranking = []
    for start in range(0, len(queries), _QUERIES_A_BLOCK):
        similarity = np.round(wanted["q"][start : start + _QUERIES_A_BLOCK] @ wanted["g"].T, 12)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, : max(CUTOFFS)]
        found = [[gallery[i] for i in row] for row in order]
        ranking += list(zip(queries[start : start + _QUERIES_A_BLOCK], found, strict=True))
    return ranking


def _units(pages: DomainEmbeddings, rows: list[int]) -> npt.NDArray[np.float64]:
    vectors = pages.vectors[rows].astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        names = ", ".join(pages.sample_ids[rows[i]] for i in bad[:5])
        raise EmbeddingError(f"{len(bad)} pages have an embedding of zeros, or with NaN or infinity: {names}")
    return np.asarray(vectors / norms[:, None], np.float64)


def evaluate_ranking(ranking: Iterable[tuple[str, Sequence[str]]], truth: Truth) -> dict[int, Product1mMetrics]:
    """The means of the official figures over all lines of a ranking, for each K.

    Raises:
        ValueError: the ranking is empty.
    """
    lines = list(ranking)
    return {k: mean_figures([score_query(query, found, truth, k) for query, found in lines]) for k in CUTOFFS}


def score_query(query: str, found: Sequence[str], truth: Truth, k: int) -> Product1mMetrics:
    """The official metrics of one query of a ranking.

    >>> truth = Truth({"q": ["cup", "pot"]}, {"1": "cup", "2": "pot", "3": "pan"}, {"cup": 1, "pot": 1, "pan": 1})
    >>> score_query("q", ["1", "3", "2"], truth, 10)
    Product1mMetrics(average_precision=1.0, precision=0.5, average_recall=1.0)
    """
    labels = truth.labels.get(query, ())
    if not labels or any(label not in truth.n_of_label for label in labels):
        return Product1mMetrics(0.0, 0.0, 0.0)
    depth = min(k, sum(truth.n_of_label[label] for label in labels), len(found))
    is_hit = [truth.label_of.get(one) in labels for one in found[:depth]]
    n_hits = sum(is_hit)
    if n_hits == 0:
        return Product1mMetrics(0.0, 0.0, _average_recall(labels, found[:k], truth, k))
    precision_at_hits = [sum(is_hit[: i + 1]) / (i + 1) for i in range(depth) if is_hit[i]]
    return Product1mMetrics(
        sum(precision_at_hits) / n_hits, n_hits / depth, _average_recall(labels, found[:k], truth, k)
    )


def mean_figures(figures: Sequence[Product1mMetrics]) -> Product1mMetrics:
    """The means of the metrics over queries.

    Raises:
        ValueError: there are none.
    """
    if not figures:
        raise ValueError("no query, so there is nothing to average")
    n = len(figures)
    return Product1mMetrics(
        sum(one.average_precision for one in figures) / n,
        sum(one.precision for one in figures) / n,
        sum(one.average_recall for one in figures) / n,
    )


def _average_recall(labels: Sequence[str], found: Sequence[str], truth: Truth, k: int) -> float:
    """`found` are the first k ids; 0 where the script of the authors fails."""
    share = k // len(labels)
    if share == 0 or any(one not in truth.label_of for one in found):
        return 0.0
    n_found = Counter(truth.label_of[one] for one in found)
    wanted = {label: min(times * share, truth.n_of_label[label]) for label, times in Counter(labels).items()}
    return sum(min(n_found[label], most) / most for label, most in wanted.items()) / len(wanted)


def _read_labels(path: Path) -> list[tuple[str, list[str]]]:
    """The ids and labels of a file, in its order."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; expected the text files of Product1M in this folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 ({error})") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            fields = line.strip().split(BETWEEN_FIELDS)
            if len(fields) != _N_FIELDS or not labels_of(fields[-1]):
                raise ReleaseError(
                    f"{path}:{number}: {len(fields)} fields separated by {BETWEEN_FIELDS}; expected id, title, two "
                    "addresses and labels"
                )
            rows.append((fields[0], labels_of(fields[-1])))
    return rows


def figures_table(figures: Mapping[int, Product1mMetrics]) -> Table:
    """The means in percent, for a terminal."""
    table = Table("Official metrics of Product1M, in %")
    table.add_columns("K", "mAP", "Prec", "mAR")
    for k, one in figures.items():
        table.add_row(str(k), *(f"{100 * value:.2f}" for value in _by_official_name(one).values()))
    return table


def figures_json(figures: Mapping[int, Product1mMetrics]) -> dict[str, dict[str, float]]:
    """The means as a JSON object, as the script of the authors writes them: `{"top10": {"mAP": 0.73, ...}, ...}`."""
    return {f"top{k}": _by_official_name(one) for k, one in figures.items()}


def _by_official_name(figures: Product1mMetrics) -> dict[str, float]:
    return {"mAP": figures.average_precision, "Prec": figures.precision, "mAR": figures.average_recall}
