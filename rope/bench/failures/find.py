"""Find failures and show them: what `rope-bench gallery` and `Report.failures` do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np

from rope.arrays import BoolArray
from rope.bench.answer import Answer
from rope.bench.failures.choice import CHOICES, Choice, ChosenQuery, choose, hub_victims
from rope.bench.failures.found import Failure, results_of
from rope.bench.failures.page import render_page
from rope.bench.io.given import Given
from rope.bench.io.provenance import Provenance
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.rows import flat, named, provenance_json
from rope.bench.score import ScoredDomain
from rope.bench.scored_vectors import scored_sides
from rope.bench.shown import json_text
from rope.bench.stats.query_ranks import PairRanks, QueryRanks
from rope.bench.stats.seed_groups import SeedRun, check_same_task
from rope.bench.stats.slices import parts_of
from rope.bench.transform import VectorTransform
from rope.dataset.directory import read_products
from rope.dataset.locate import locate
from rope.dataset.pictures import pictures_of
from rope.domain import DomainName, pair_of
from rope.errors import UsageError
from rope.files import Address, AnyPath, atomic_path
from rope.table import Table

__all__ = ["FailureOptions", "Failures", "find_failures"]

_MOST: Final = 200
"""Queries of a page: at about ten thumbnails of 3 KB each, it stays below 10 MB."""

_FRAMES: Final = 4
"""Frames of a query that are shown; of a result it is one."""


@dataclass(frozen=True, slots=True)
class FailureOptions:
    """Which queries are shown.

    Attributes:
        choose: one of `rope.bench.failures.choice.CHOICES`.
        pair: `P2V` and so on; None for all cross-domain pairs.
        n: queries of each pair.
        seed: of the sample that `random` draws.
        part: `KIND=NAME`, such as `category=shoes`: of queries of this slice alone, see `rope-bench slices`.
    """

    choose: Choice = "worst"
    pair: str | None = None
    n: int = 6
    seed: int = 0
    part: str | None = None

    def __post_init__(self) -> None:
        if self.choose not in CHOICES:
            raise UsageError(f"--choose {self.choose!r}: expected one of {', '.join(CHOICES)}")
        if self.n < 1:
            raise UsageError(f"--queries {self.n}: expected 1 or more")


@dataclass(frozen=True, eq=False)
class Failures(Answer[tuple[Failure, ...]]):
    """Failures of a model, and where their pictures are.

    Attributes:
        provenance: the model, the dataset and the split.
        options: which queries these are.
        directory: of the dataset.
        other: the name of the model that it was compared with; None without one.
    """

    provenance: Provenance
    options: FailureOptions
    directory: AnyPath
    other: str | None

    def page(self) -> str:
        """A complete HTML document with the pictures in it."""
        wanted: dict[DomainName, dict[str, int]] = {}
        for one in self.value:
            pair = pair_of(one.pair)
            for found in (*one.results.top, one.results.best):
                wanted.setdefault(pair.gallery, {}).setdefault(found.sample_id, 1)
            wanted.setdefault(pair.query, {})[one.query_id] = _FRAMES
        pictures = pictures_of(self.directory, self.provenance.split, wanted)
        choice = CHOICES[self.options.choose]
        return render_page(self.value, self.provenance, choice, self.options.part, self.other, pictures)

    def save_page(self, path: str | PathLike[str]) -> None:
        """Write the page of `rope-bench gallery --html`: one file that loads nothing else."""
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(self.page(), "utf-8")


def find_failures(
    ranks: QueryRanks,
    provenance: Provenance,
    embeddings: Given,
    data: "Address | None",
    options: FailureOptions,
    *,
    against: QueryRanks | None = None,
    transform: VectorTransform | None = None,
    compute: ComputeSettings | None = None,
) -> Failures:
    """Choose queries by the ranks of a score, and look up what was found for them.

    Args:
        ranks: of the score.
        provenance: what the score is of.
        embeddings: the vectors that were scored, see `rope.bench.io.given.embeddings_of`.
        data: the dataset that was scored; None for the one that `rope.dataset.locate.find` finds.
        options: which queries.
        against: the ranks of another model on the same queries; `lost` needs them.
        transform: what was done to the vectors before they were scored.
        compute: how to spend the machine.

    Raises:
        UsageError: the vectors or the dataset are not those of the score, the pair or slice is unknown, or the
            options ask for too many queries or for what the dataset lacks.
    """
    directory, compute = locate(data), compute or ComputeSettings()
    if options.choose == "lost" and against is None:
        raise UsageError("--choose lost: shows what another model finds; give its embeddings with --against")
    if against is not None:
        check_same_task(SeedRun(ranks), SeedRun(against))
    pairs = _pairs(ranks, options)
    sides, _ = scored_sides(ranks.origin, embeddings, directory, transform=transform)
    if any(side.labelled.vectors.offsets is not None for side in sides.values()):
        raise UsageError("samples with many vectors or none have no single similarity to show; give one vector each")
    if options.choose == "hubs" and any(side.galleries is not None for side in sides.values()):
        raise UsageError("--choose hubs: queries have their own galleries here, and a hub is one of a whole domain")
    wanted = _wanted(ranks, directory, options.part)
    categories = read_products(directory, provenance.split)
    found: list[Failure] = []
    for name in pairs:
        other = None if against is None else against.pairs[name]
        if options.choose == "hubs":
            chosen = hub_victims(name, ranks.pairs[name], sides, wanted[name], options.n, compute)
        else:
            chosen = choose(options.choose, ranks.pairs[name], wanted[name], options.n, seed=options.seed, other=other)
        found += _failures(name, chosen, ranks, other, sides, categories, compute)
    shown: list[str | Table] = [_title(provenance, options), _table(found)]
    choice, records = asdict(options), [asdict(one) for one in found]
    told = {"schema_version": 1, **provenance_json(provenance), "choice": choice, "failures": records}
    plain = json.loads(json_text(told))  # tuples become lists
    rows = [named(provenance) | {"choose": options.choose} | flat(one) for one in plain["failures"]]
    other_name = None if against is None else against.origin.model
    return Failures(tuple(found), shown, plain, provenance, options, directory, other_name, rows=rows)


def _pairs(ranks: QueryRanks, options: FailureOptions) -> Sequence[str]:
    if options.pair is not None and options.pair not in ranks.pairs:
        raise UsageError(f"--pair {options.pair!r}: expected one of {', '.join(ranks.pairs)}")
    pairs = ranks.compared_pairs if options.pair is None else (options.pair,)
    within = [name for name in pairs if pair_of(name).query == pair_of(name).gallery]
    if options.choose == "hubs" and within:
        raise UsageError(f"--choose hubs: looks at pairs of two domains, and {within[0]} is of one")
    if options.n * len(pairs) > _MOST:
        raise UsageError(
            f"--queries {options.n}: {options.n * len(pairs):,} queries of {len(pairs)} pairs, and a page holds "
            f"{_MOST} at most; give fewer, or one --pair"
        )
    return pairs


def _wanted(ranks: QueryRanks, directory: AnyPath, part: str | None) -> dict[str, BoolArray]:
    """Pair -> which of its queries are to be chosen from."""
    if part is None:
        return {name: np.ones(len(pair.rank), np.bool_) for name, pair in ranks.pairs.items()}
    kind, _, name = part.partition("=")
    parts = {str(of): by_pair for of, by_pair in parts_of(ranks, directory).items()}
    if kind not in parts:
        raise UsageError(f"--slice {part!r}: expected KIND=NAME, where KIND is one of {', '.join(parts)}")
    wanted = {pair: names == name for pair, names in parts[kind].items()}
    if not any(of_pair.any() for of_pair in wanted.values()):
        known = sorted({str(one) for names in parts[kind].values() for one in names})
        raise UsageError(f"--slice {part!r}: no query is in this slice; those of {kind} are {', '.join(known)}")
    return wanted


def _failures(
    name: str,
    chosen: Sequence[ChosenQuery],
    ranks: QueryRanks,
    other: PairRanks | None,
    sides: Mapping[DomainName, ScoredDomain],
    categories: Mapping[str, str | None],
    compute: ComputeSettings,
) -> list[Failure]:
    of_pair = ranks.pairs[name]
    results = results_of(pair_of(name), [of_pair.query_ids[one.row] for one in chosen], sides, compute)
    failures = []
    for one, found in zip(chosen, results, strict=True):
        product = ranks.product_ids[of_pair.products[one.row]]
        rank = int(of_pair.rank[one.row])
        assert found.best.rank == rank, "the engine counts the same for a query alone as for all"
        failures.append(
            Failure(
                name,
                of_pair.query_ids[one.row],
                product,
                categories[product],
                rank,
                None if other is None else int(other.rank[one.row]),
                one.why,
                one.hub,
                found,
            )
        )
    return failures


def _title(provenance: Provenance, options: FailureOptions) -> str:
    of = f", {options.part}" if options.part else ""
    return f"{provenance.model} on {provenance.dataset}, {provenance.split} split: {CHOICES[options.choose]}{of}"


def _table(failures: Sequence[Failure]) -> Table:
    table = Table("Chosen queries, and what they find", n_keys=2)
    for heading in ("pair", "query"):
        table.add_column(heading)
    compared = any(one.other_rank is not None for one in failures)
    table.add_columns("rank", *(["in the other"] if compared else []), "of")
    for heading in ("product", "category", "first result", "its product"):
        table.add_column(heading)
    table.add_columns("similarity", "of the best positive")
    for one in failures:
        first = one.results.top[0]
        other = [f"{one.other_rank:,}" if one.other_rank is not None else "-"] if compared else []
        numbers = [f"{one.rank:,}", *other, f"{one.results.n_candidates:,}"]
        texts = [one.product_id, one.category or "-", first.sample_id, first.product_id]
        similarities = [f"{first.similarity:.4f}", f"{one.results.best.similarity:.4f}"]
        table.add_row(one.pair, one.query_id, *numbers, *texts, *similarities)
    return table
