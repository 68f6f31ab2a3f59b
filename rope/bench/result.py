"""A score with what it is of: as numbers, tables, JSON, and the files that comparisons read.

The commands, the library and the leaderboard all get their results here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.provenance import Provenance, RerankNote
from rope.bench.metrics import QueryScores
from rope.bench.one_shot import Draws
from rope.bench.quick import QuickScore
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import as_json, one_shot_table, quick_json, quick_table, retrieval_table, write_json, write_ranks
from rope.bench.rows import named
from rope.bench.score import Score, score
from rope.bench.shown import as_html, as_text, json_text
from rope.bench.stats.intervals import Intervals, bounds, intervals_of
from rope.bench.stats.query_ranks import QueryRanks, ranks_of
from rope.bench.transform import WORDS, VectorTransform
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import UsageError
from rope.extras import needed_by
from rope.moved import renamed_attribute

if TYPE_CHECKING:
    from pandas import DataFrame

    from rope.bench.failures.find import FailureOptions, Failures
    from rope.bench.io.given import Given
    from rope.files import Address
    from rope.table import Table

__all__ = ["QuickReport", "Report", "report_on"]


@dataclass(frozen=True, eq=False)
class Report:
    """What one set of embeddings scored on one split of a dataset.

    Attributes:
        score: every number, with the scores of each query.
        provenance: what they are of: model, dataset, split, and a hash of the vectors.
    """

    score: Score
    provenance: Provenance

    subject = renamed_attribute("subject", "provenance")

    @cached_property
    def ranks(self) -> QueryRanks:
        """The rank of every query: what intervals, comparisons and slices are computed from."""
        return ranks_of(self.score, self.provenance)

    @cached_property
    def intervals(self) -> Intervals:
        """The 95 % interval, by product, of every number of retrieval."""
        return intervals_of(self.ranks)

    @property
    def headline(self) -> float | None:
        """The mean R@1 of the cross-domain pairs, a fraction; None where the dataset has one domain."""
        return self.score.headline

    @property
    def ci95(self) -> tuple[float, float] | None:
        """The 95 % interval of the headline; None where there is none. Those of a pair are in `pairs`, under `ci95`."""
        ends = bounds(self.intervals.headline)
        return None if ends is None else (ends[0], ends[1])

    @property
    def pairs(self) -> dict[str, dict[str, Any]]:
        """`P2V` and so on -> R@k, recall@k, MRR, mAP, median rank, counts and intervals, as in the JSON."""
        pairs: dict[str, dict[str, Any]] = self._plain["pairs"]
        return pairs

    @property
    def one_shot(self) -> dict[str, dict[str, Any]]:
        """The cross-domain pairs -> accuracy of one-shot classification, as in the JSON."""
        pairs: dict[str, dict[str, Any]] = self._plain["one_shot"]
        return pairs

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return self.to_dict()

    def to_dict(self, ranks: str | PathLike[str] | None = None) -> dict[str, Any]:
        """What `rope-bench score --json` writes: fractions in full precision, null where a number is not defined.

        Args:
            ranks: what `save_ranks` has written, which the result then names; null where it is None.
        """
        full = as_json(self.score, self.provenance, self.intervals, None if ranks is None else Path(ranks))
        plain: dict[str, Any] = json.loads(json_text(full))  # tuples become lists, as in the file
        return plain

    def to_json(self) -> str:
        """The text of `to_dict`."""
        return json_text(self.to_dict())

    def save(self, path: str | PathLike[str], *, ranks: str | PathLike[str] | None = None) -> Path:
        """Write the result as JSON and its ranks next to it, the very files of `rope-bench score --json`.

        Args:
            path: the JSON file.
            ranks: the Parquet file of ranks; None for the name of `path` with the ending `.ranks.parquet`.

        Returns:
            The file of ranks.
        """
        result = Path(path)
        written = self.save_ranks(result.with_suffix(".ranks.parquet") if ranks is None else ranks)
        write_json(result, self.to_dict(written))
        return written

    def save_ranks(self, path: str | PathLike[str]) -> Path:
        """Write the rank of every query as Parquet, and return the file."""
        write_ranks(Path(path), self.score)
        return Path(path)

    def failures(
        self,
        embeddings: "Given",
        data: "Address | None" = None,
        options: "FailureOptions | None" = None,
        *,
        against: "Report | None" = None,
        transform: VectorTransform | None = None,
        compute: ComputeSettings | None = None,
    ) -> "Failures":
        """Queries that fail, and what is found for them: what `rope-bench gallery` shows; `save_page` has pictures.

        Args:
            embeddings: the vectors that were scored.
            data: the dataset that was scored; None for the one that `rope.dataset.locate.find` finds.
            options: which queries; None for the worst products of each pair.
            against: the report of another model on the same dataset, whose ranks are shown beside.
            transform: what was done to the vectors before they were scored.
            compute: how to spend the machine.

        Raises:
            UsageError: see `rope.bench.failures.find.find_failures`.
        """
        from rope.bench.failures.find import FailureOptions, find_failures

        ranks = None if against is None else against.ranks
        return find_failures(
            self.ranks,
            self.provenance,
            embeddings,
            data,
            options or FailureOptions(),
            against=ranks,
            transform=transform,
            compute=compute,
        )

    def to_pandas(self) -> "DataFrame":
        """One row per pair: model, pair, counts, metrics, the ends of the interval of R@1, expected one-shot accuracy.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        with needed_by("to_pandas"):
            from pandas import DataFrame
        return DataFrame(self.to_rows())

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows of `to_pandas` and of `--csv`, without pandas: one per pair, fractions in full precision."""
        return [named(self.provenance) | _row(name, pair, self.one_shot) for name, pair in self.pairs.items()]

    def tables(self) -> "list[str | Table]":
        """What a terminal shows: the title, then the tables."""
        one_shot = [one_shot_table(self.score)] if self.score.one_shot else []
        note = self.provenance.rerank
        second = [] if note is None else [_second_stage(note, self.headline)]
        tables = [retrieval_table(self.score, self.intervals), *one_shot]
        return [_title(self.provenance), *tables, *_gain(self.provenance, self.headline), *second]

    def __str__(self) -> str:
        return as_text(self.tables())

    def __repr__(self) -> str:
        return f"Report({_title(self.provenance)}: headline {self.headline})"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return as_html(self.tables())


@dataclass(frozen=True, eq=False)
class QuickReport:
    """R@k, MRR and median rank of the cross-domain pairs: for looking at a model while it is trained.

    Attributes:
        score: the numbers.
        provenance: what they are of.
    """

    score: QuickScore
    provenance: Provenance

    subject = renamed_attribute("subject", "provenance")

    @property
    def headline(self) -> float:
        """The mean R@1 of the cross-domain pairs, a fraction."""
        return self.score.headline

    @property
    def pairs(self) -> dict[str, dict[str, Any]]:
        """`P2V` and so on -> R@k, MRR, median rank and the number of queries."""
        pairs: dict[str, dict[str, Any]] = quick_json(self.score, self.provenance)["pairs"]
        return pairs

    def metrics(self) -> dict[str, float]:
        """Flat names and numbers for a log: `R@1`, the headline, then `P2V/R@1`, `P2V/MRR` and so on."""
        numbers = {(pair, name): value for pair, values in self.pairs.items() for name, value in values.items()}
        return {"R@1": self.headline, **{f"{p}/{name}": v for (p, name), v in numbers.items() if name != "n_queries"}}

    def to_dict(self) -> dict[str, Any]:
        """What `rope-bench score --quick --json` writes; `quick` is true in it, and nothing takes it for a result."""
        return quick_json(self.score, self.provenance)

    def to_json(self) -> str:
        """The text of `to_dict`."""
        return json_text(self.to_dict())

    def save(self, path: str | PathLike[str]) -> None:
        """Refuse: without ranks and intervals it is not a result to compare.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{path}: a quick score is not a result to keep; evaluate without quick, or write its to_json()"
        )

    def to_pandas(self) -> "DataFrame":
        """One row per pair, with the columns model and pair before the numbers.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        with needed_by("to_pandas"):
            from pandas import DataFrame
        return DataFrame(self.to_rows())

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows of `to_pandas` and of `--csv`, without pandas."""
        return [
            named(self.provenance) | {"pair": name} | {key: v for key, v in pair.items() if not isinstance(v, dict)}
            for name, pair in self.pairs.items()
        ]

    def tables(self) -> "list[str | Table]":
        """What a terminal shows: the title, then the table."""
        return [_title(self.provenance), quick_table(self.score), *_gain(self.provenance, self.headline)]

    def __str__(self) -> str:
        return as_text(self.tables())

    def __repr__(self) -> str:
        return f"QuickReport({_title(self.provenance)}: headline {self.headline})"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return as_html(self.tables())


def report_on(
    embeddings: Mapping[DomainName, DomainEmbeddings],
    labels: Mapping[DomainName, SampleLabels],
    provenance: Provenance,
    draws: Draws,
    compute: ComputeSettings,
    queries: Mapping[str, QueryScores] | None = None,
) -> Report:
    """Score embeddings that `rope.bench.io.provenance` has described; the arguments and errors are those of `score`."""
    return Report(score(embeddings, labels, draws, compute, queries), provenance)


def _title(provenance: Provenance) -> str:
    return f"{provenance.model} on {provenance.dataset}, {provenance.split} split ({provenance.fingerprint[:12]})"


def _gain(provenance: Provenance, headline: float | None) -> list[str]:
    """A sentence on what a transform changed, beside what the doctor promises; none where nothing was done."""
    done = provenance.transform or {}
    before, promised = done.get("headline_without"), done.get("headline_promised")
    if headline is None or before is None:
        return []
    told = "" if promised is None else f"; fitted on the scored split itself, {100 * (promised - before):+.2f}"
    gain, before = f"{100 * (headline - before):+.2f}", f"{100 * before:.2f}"
    return [f"{WORDS[done['kind']]}: {gain} points of mean R@1, which is {before} without{told}"]


def _second_stage(note: RerankNote, headline: float | None) -> str:
    gain = ""
    if headline is not None and note.first_headline is not None:
        before = 100 * note.first_headline
        gain = f"{100 * headline - before:+.2f} points of mean R@1, which is {before:.2f} in the first stage; "
    return f"{gain}R@k for k from {note.depth} on is that of the first stage, as only {note.depth} candidates move"


def _row(name: str, pair: Mapping[str, Any], one_shot: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One pair without what is nested in it."""
    flat = {key: value for key, value in pair.items() if not isinstance(value, dict)}
    low, high = (pair["ci95"] or {}).get("R@1") or (None, None)
    expected = one_shot.get(name, {}).get("expected")
    return {"pair": name, **flat, "R@1_low": low, "R@1_high": high, "one_shot": expected}
