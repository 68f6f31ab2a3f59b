"""Embeddings in, a report out: what `rope-bench score` does, for notebooks and training loops."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal, overload

from rope.bench.io.embeddings import DomainEmbeddings, Missing, align
from rope.bench.io.given import Given, embeddings_of, name_of
from rope.bench.io.provenance import Provenance, describe
from rope.bench.one_shot import Draws
from rope.bench.quick import quick_score
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.result import QuickReport, Report, report_on
from rope.bench.running.share import parse_share
from rope.bench.score import count_similarities, score, score_share
from rope.bench.score_shares import note_of, read_shares, write_share
from rope.bench.transform import VectorTransform, cut_all, fitted_on_itself, transformed
from rope.console import progress_bar
from rope.dataset.directory import SampleLabels, read_labels
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Split, with_published
from rope.errors import EmbeddingError
from rope.files import Address
from rope.moved import renamed_argument

__all__ = ["evaluate", "score_one_share"]


@overload
def evaluate(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    quick: Literal[False] = False,
    draws: Draws | None = None,
    compute: ComputeSettings | None = None,
    training_seed: int | None = None,
    missing: Missing = "refuse",
    transform: VectorTransform | None = None,
    dims: int | None = None,
    shares: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Report: ...
@overload
def evaluate(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    quick: Literal[True],
    draws: Draws | None = None,
    compute: ComputeSettings | None = None,
    training_seed: int | None = None,
    missing: Missing = "refuse",
    transform: VectorTransform | None = None,
    dims: int | None = None,
    shares: None = None,
    progress: bool = False,
) -> QuickReport: ...
@renamed_argument("effort", "compute")
def evaluate(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    split: Split = "validation",
    name: str | None = None,
    quick: bool = False,
    draws: Draws | None = None,
    compute: ComputeSettings | None = None,
    training_seed: int | None = None,
    missing: Missing = "refuse",
    transform: VectorTransform | None = None,
    dims: int | None = None,
    shares: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Report | QuickReport:
    """Score embeddings on one split of a dataset, as docs/protocol.md defines it.

    Args:
        embeddings: of every sample of the split, in any order: a mapping from domain to `(ids, array [n, dim])`, a
            table with the columns domain, sample_id and embedding, or files; see
            `rope.bench.io.given.embeddings_of`, also for samples that have many vectors, or others as queries. Vectors
            meet their labels by sample id.
        data: the dataset directory, or its address; None for the one that `rope.dataset.locate.find` finds.
        split: the split to score.
        name: what to call the model; None for the stem of the first file, or `embeddings`.
        quick: R@k, MRR and median rank of the cross-domain pairs only, several times as fast.
        draws: of the support sets of one-shot classification; None for 20 draws of one shot with seed 0, as the
            command. A quick score has none.
        compute: how to spend the machine; it changes no number.
        training_seed: of the training run that made the model, which the result keeps.
        missing: `last` ranks samples without a vector last, see docs/protocol.md; else they are an error.
        transform: what to do to the vectors first, fitted on the training split; the result keeps it, and the model is
            called so unless it has a name. Unless it comes from shares, the result also has the headline without it,
            and with one fitted on the scored split itself, as the doctor does. None for nothing.
        dims: score the first so many numbers of each vector, as Matryoshka models are trained for; the model is then
            called `name@dims`. None for all.
        shares: a folder with the files of all shares, see `score_one_share`; nothing is computed then that they have.
        progress: draw a bar on stderr, if that is a terminal.

    Raises:
        UsageError: the embeddings have another form, or no more than `dims` numbers, or a file or the dataset directory
            does not exist, or a share is missing or belongs to something else.
        EmbeddingError: they do not fit the dataset; lists everything that is wrong.
        DatasetError: the dataset cannot be read, or two of its domains have no product in common.
    """
    aligned, ordered, provenance = _prepare(embeddings, data, split, name, training_seed, missing, transform, dims)
    compute = compute or ComputeSettings()
    if transform is not None and shares is None:
        others = _without(embeddings, transform, dims, ordered, compute, missing)
        provenance = replace(provenance, transform={**(provenance.transform or {}), **others})
    if quick:
        return QuickReport(quick_score(aligned, ordered, compute), provenance)
    draws = draws or Draws(seed=0)
    queries = None if shares is None else read_shares(Path(shares), note_of(provenance, draws))
    shown = progress and queries is None
    with progress_bar("scoring", count_similarities(ordered, draws), shown=shown) as advance:
        return report_on(
            aligned, ordered, provenance, draws, replace(compute, advance=advance) if shown else compute, queries
        )


def score_one_share(
    embeddings: Given,
    data: "Address | None" = None,
    *,
    share: str,
    shares: str | PathLike[str],
    split: Split = "validation",
    draws: Draws | None = None,
    compute: ComputeSettings | None = None,
    missing: Missing = "refuse",
    transform: VectorTransform | None = None,
    dims: int | None = None,
    progress: bool = False,
) -> Path:
    """Score one share of the queries, and keep that in a file: scoring divided among machines.

    `evaluate` with the same arguments and `shares` then puts all together; its report is that of one machine. All
    shares together compute every similarity of two domains twice, once in each direction.

    Args:
        embeddings: as for `evaluate`; every share needs all of them.
        data: likewise.
        share: which one, `0/8` to `7/8` of eight.
        shares: the folder for the files of all shares.
        split: as for `evaluate`.
        draws: likewise.
        compute: likewise.
        missing: likewise.
        transform: likewise.
        dims: likewise.
        progress: likewise.

    Returns:
        The file.

    Raises:
        UsageError: the share is unknown; else as `evaluate`.
        EmbeddingError: as `evaluate`.
        DatasetError: as `evaluate`.
    """
    own, draws = parse_share(share), draws or Draws(seed=0)
    aligned, ordered, provenance = _prepare(embeddings, data, split, None, None, missing, transform, dims)
    compute, total = compute or ComputeSettings(), count_similarities(ordered, draws) // own.world
    with progress_bar(f"scoring {share}", total, shown=progress) as advance:
        settings = replace(compute, advance=advance) if progress else compute
        scores = score_share(aligned, ordered, draws, settings, own)
    return write_share(Path(shares), own, scores, note_of(provenance, draws))


def _prepare(
    embeddings: Given,
    data: "Address | None",
    split: Split,
    name: str | None,
    training_seed: int | None,
    missing: Missing,
    transform: VectorTransform | None,
    dims: int | None,
) -> tuple[dict[DomainName, DomainEmbeddings], dict[DomainName, SampleLabels], Provenance]:
    """The embeddings as they are scored, the labels in the order for it, and what the score is of."""
    directory = locate(data)
    labels = read_labels(directory, split)
    given, manifest = embeddings_of(embeddings, with_published(labels), any_number=True), read_manifest(directory)
    model, record = name or name_of(embeddings), None
    full = next((rows.vectors.shape[1] for rows in given.values()), 0)
    if transform is not None:
        given, record = transformed(given, transform, directory, dims)
        model = name or f"{model} ({transform.word})"
    else:
        given = cut_all(given, dims)
    model = model if dims is None else f"{model}@{dims}"
    aligned, ordered, provenance = describe(given, manifest, split, labels, model, missing=missing)
    notes = {
        domain: note if dims is None else replace(note, cut_from=full) for domain, note in provenance.embeddings.items()
    }
    return aligned, ordered, replace(provenance, training_seed=training_seed, embeddings=notes, transform=record)


def _without(
    embeddings: Given,
    transform: VectorTransform,
    dims: int | None,
    labels: Mapping[DomainName, SampleLabels],
    compute: ComputeSettings,
    missing: Missing,
) -> dict[str, float | None]:
    """The headline without the transform, and with one fitted on the scored split itself; None where there is none."""

    def headline(rows: dict[DomainName, DomainEmbeddings]) -> float | None:
        aligned = align(rows, labels, missing)
        if len(labels) > 1 and all(of_domain.galleries is None for of_domain in labels.values()):
            return quick_score(aligned, labels, compute).headline
        return score(aligned, labels, Draws(seed=0, trials=1), compute).headline

    given = embeddings_of(embeddings, with_published(labels), any_number=True)
    try:
        promised = headline(fitted_on_itself(given, transform.kind, dims))
    except EmbeddingError:  # a domain of one sample is its own mean
        promised = None
    return {"headline_without": headline(cut_all(given, dims)), "headline_promised": promised}
