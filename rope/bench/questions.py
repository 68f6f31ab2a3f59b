"""Questions about results and embeddings beyond the score: the library under `compare`, `slices`, `doctor` etc.

Each question gives an `Answer`, which the commands print and write, and notebooks show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rope.bench.answer import Answer
from rope.bench.doctor.diagnosis import Diagnosis, count_similarities
from rope.bench.doctor.diagnosis import as_json as diagnosis_json
from rope.bench.doctor.diagnosis import diagnose as diagnose_aligned
from rope.bench.doctor.page import render_page
from rope.bench.doctor.tables import tables as diagnosis_tables
from rope.bench.io.given import Given, embeddings_of, name_of
from rope.bench.io.provenance import Provenance, warn_of_others
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.result import Report
from rope.bench.rows import flat, named, number_rows, provenance_json
from rope.bench.stats.compare import Comparison, comparison_json, comparison_rows
from rope.bench.stats.compare import compare as compare_groups
from rope.bench.stats.compare_tables import difference_table, standing_table, where_to_look
from rope.bench.stats.long_tail import Third, tail_json, tail_of, tail_table
from rope.bench.stats.query_ranks import QueryRanks, load_ranks
from rope.bench.stats.seed_groups import Group, SeedRun, group_of
from rope.bench.stats.slices import QuerySlice, left_out, slice_ranks, slice_table, slices_json
from rope.bench.tsne import choose_points, lay_out
from rope.bench.tsne import draw_map as draw_points
from rope.bench.tsne_page import check_size, render_map
from rope.console import progress_bar
from rope.dataset.directory import read_labels, read_products
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.dataset.pictures import SamplePicture, pictures_of
from rope.domain import DomainName, Split, all_pairs, domains_of, pair_of, with_published
from rope.errors import UsageError
from rope.files import Address, AnyPath, atomic_path
from rope.moved import renamed_argument, renamed_attribute
from rope.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Diagnosed", "Result", "compare", "diagnose", "draw_map", "map_page", "ranks_of_result", "slices", "tail"]

Result: TypeAlias = Report | QueryRanks | str | PathLike[str]
"""A report, its ranks, or the JSON file that one was saved as, with its ranks next to it."""


@dataclass(frozen=True, eq=False)
class Diagnosed(Answer[Diagnosis]):
    """What the doctor says, and of what.

    Attributes:
        provenance: the model, the dataset and the split.
        directory: of the dataset.
    """

    provenance: Provenance
    directory: AnyPath

    subject = renamed_attribute("subject", "provenance")

    def save_page(self, path: str | PathLike[str], *, pictures: bool = False) -> None:
        """Write the page of `rope-bench doctor --html`: one file that loads nothing else.

        Args:
            path: the file.
            pictures: show the worst hubs, and don't only name them; mind the licence of the images.
        """
        page = render_page(self.value, self.provenance, self._hubs() if pictures else None)
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(page, "utf-8")

    def _hubs(self) -> dict[DomainName, dict[str, SamplePicture]]:
        wanted: dict[DomainName, dict[str, int]] = {}
        for name, of_pair in (self.value.retrieval.pairs if self.value.retrieval else {}).items():
            wanted.setdefault(pair_of(name).gallery, {}).update({hub.sample_id: 1 for hub in of_pair.hubs.worst})
        return pictures_of(self.directory, self.provenance.split, wanted)


def compare(
    results: Sequence[Result | Group] | Mapping[str, Sequence[Result]],
    metric: str = "R@1",
    *,
    pair_seeds: bool = False,
) -> Answer[Comparison]:
    """Compare models on one dataset: differences with intervals, tests paired by product, and ranks that ties share.

    Args:
        results: two or more, each a separate model; or, for each model by name, the results of its training runs.
        metric: one of `rope.bench.stats.query_ranks.METRICS`.
        pair_seeds: compare runs of the same seed with each other; see `rope.bench.stats.compare.compare`.

    Raises:
        UsageError: the results cannot be compared, see `rope.bench.stats.compare.compare`, or a file cannot be read.
    """
    if isinstance(results, Mapping):
        groups = [group_of(name, [_run(one) for one in runs]) for name, runs in results.items()]
    else:
        groups = [one if isinstance(one, Group) else _alone(_run(one)) for one in results]
    comparison = compare_groups(groups, metric, pair_seeds=pair_seeds)
    tables = [standing_table(comparison), difference_table(comparison)]
    shown: list[str | Table] = [*tables, *where_to_look(comparison)]
    return Answer(comparison, shown, comparison_json(comparison), rows=comparison_rows(comparison))


def slices(result: Result, data: "Address | None" = None, *, pair: str = "mean") -> Answer[list[QuerySlice]]:
    """R@k by category, text length, number of positives and size of the product.

    Args:
        result: of one model.
        data: the dataset that was scored.
        pair: `P2V` and so on, or `mean` for the mean of the cross-domain pairs: the table that is shown; the value has
            all.

    Raises:
        UsageError: the pair is unknown, or the result is of another dataset.
        DatasetError: the dataset cannot be read.
    """
    ranks = ranks_of_result(result)
    _check_pair(pair, [known.name for known in all_pairs(domains_of(ranks.pairs))])
    directory = locate(data)
    found = slice_ranks(ranks, directory)
    shown: list[str | Table] = [slice_table(found, pair), *left_out(ranks, directory, found, pair)]
    records = slices_json(found)
    plain = {"schema_version": 1, **provenance_json(ranks.origin), "slices": records}
    return Answer(found, shown, plain, rows=[named(ranks.origin) | flat(one) for one in records])


def tail(
    result: Result,
    data: "Address | None" = None,
    *,
    metric: str = "R@1",
    pair: str = "mean",
    counted_in: Split | None = None,
) -> Answer[list[Third]]:
    """Head, torso and tail: categories by products or samples, products by samples.

    Args:
        result: of one model.
        data: the dataset that was scored.
        metric: one of `rope.bench.stats.query_ranks.METRICS`.
        pair: as for `slices`, of the cross-domain pairs.
        counted_in: the split in which categories are counted; None for the one that was scored.

    Raises:
        UsageError: the pair or metric is unknown, or the result is of another dataset.
        DatasetError: the dataset cannot be read.
    """
    ranks = ranks_of_result(result)
    _check_pair(pair, ranks.compared_pairs)
    found = tail_of(ranks, locate(data), metric, counted_in)
    records = tail_json(found, metric)
    plain = {"schema_version": 1, **provenance_json(ranks.origin), "metric": metric, "parts": records}
    rows = [named(ranks.origin) | {"metric": metric} | _value_of(flat(one), metric) for one in records]
    return Answer(found, [tail_table(found, pair, metric)], plain, rows=rows)


@renamed_argument("effort", "compute")
def diagnose(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    compute: ComputeSettings | None = None,
    progress: bool = False,
) -> Diagnosed:
    """Look for faulty rows, hubs, gaps between domains, bottlenecks, and what smaller vectors would cost.

    Embeddings that cannot be scored are diagnosed as far as they can be.

    Args:
        embeddings: see `rope.bench.io.given.embeddings_of`.
        data: the dataset directory; None for the one that `rope.dataset.locate.find` finds.
        split: the split that they are of.
        name: what to call the model; None for the stem of the first file.
        compute: how to spend the machine.
        progress: draw a bar on stderr, if that is a terminal.
    """
    directory = locate(data)
    manifest, labels = read_manifest(directory), read_labels(directory, split)
    given, compute = embeddings_of(embeddings, with_published(labels)), compute or ComputeSettings()
    warn_of_others(given, manifest, split)
    with progress_bar("diagnosing", count_similarities(given, labels), shown=progress) as advance:
        found = diagnose_aligned(given, labels, replace(compute, advance=advance) if progress else compute)
    provenance = Provenance(name or name_of(embeddings), manifest.name, manifest.fingerprint, split, {})
    plain = diagnosis_json(found)
    rows = [named(provenance) | row for row in number_rows(plain)]
    told = {**plain, **provenance_json(provenance)}
    return Diagnosed(found, diagnosis_tables(found), told, provenance, directory, rows=rows)


def draw_map(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    products: int | None = None,
    seed: int = 0,
) -> "Figure":
    """A map of some products over the domains, by t-SNE: a picture to look at, no measurement.

    Args:
        embeddings: see `rope.bench.io.given.embeddings_of`.
        data: the dataset directory; None for the one that `rope.dataset.locate.find` finds.
        split: the split that they are of.
        products: how many to draw, all samples of each; None for 30, or all that there are.
        seed: of the products drawn, and of the map.

    Raises:
        UsageError: there are fewer products in all domains, or the extra `figures` is not installed.
        EmbeddingError: the embeddings do not fit the dataset.
    """
    labels = read_labels(locate(data), split)
    points = choose_points(embeddings_of(embeddings, with_published(labels)), labels, n_products=products, seed=seed)
    return draw_points(points, lay_out(points, seed=seed))


def map_page(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    products: int | None = None,
    seed: int = 0,
    pictures: bool = False,
) -> str:
    """The map as one HTML file that loads nothing else: each sample is named on hover and by keyboard.

    Args:
        embeddings: as for `draw_map`.
        data: likewise.
        split: likewise.
        name: what to call the model; None for the stem of the first file.
        products: as for `draw_map`.
        seed: likewise.
        pictures: show the samples too; mind the licence of the images.

    Raises:
        UsageError: as `draw_map`, or the page would hold too many pictures.
        EmbeddingError: the embeddings do not fit the dataset.
    """
    directory = locate(data)
    labels, manifest = read_labels(directory, split), read_manifest(directory)
    points = choose_points(embeddings_of(embeddings, with_published(labels)), labels, n_products=products, seed=seed)
    check_size(points, has_pictures=pictures)
    wanted: dict[DomainName, dict[str, int]] = {}
    for domain, sample_id in zip(points.domains, points.sample_ids, strict=True):
        wanted.setdefault(domain, {})[sample_id] = 1
    shown = pictures_of(directory, split, wanted) if pictures else None
    provenance = Provenance(name or name_of(embeddings), manifest.name, manifest.fingerprint, split, {})
    return render_map(points, lay_out(points, seed=seed), provenance, read_products(directory, split), shown)


def _value_of(row: dict[str, object], metric: str) -> dict[str, object]:
    """A row whose number is called `value`, so that the columns are the same for all metrics."""
    return {"value" if name == metric else name: value for name, value in row.items()}


def ranks_of_result(result: Result) -> QueryRanks:
    """The ranks of a result, whichever way it is given."""
    if isinstance(result, QueryRanks):
        return result
    return result.ranks if isinstance(result, Report) else load_ranks(Path(result))


def _run(result: Result) -> SeedRun:
    return SeedRun(ranks_of_result(result), None if isinstance(result, Report) else str(result))


def _alone(run: SeedRun) -> Group:
    return Group(run.ranks.origin.model, (run,))


def _check_pair(pair: str, names: Sequence[str]) -> None:
    if pair not in ("mean", *names):
        raise UsageError(f"--pair {pair!r}: expected one of {', '.join(['mean', *names])}")
