"""The whole task: embeddings and interactions in, score out. The library under `rope-bench recommend`."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.answer import Answer
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.given import Given, embeddings_of, name_of
from rope.bench.io.provenance import note_of
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.columns import Columns
from rope.bench.recommend.gallery import align_items, choose_domain, interactions_sha256
from rope.bench.recommend.interactions import Interactions, LeaveOneOut, count_tied_targets, leave_one_out
from rope.bench.recommend.readers import read_interactions
from rope.bench.recommend.report import (
    RecommendOptions,
    RecommendProvenance,
    as_json,
    metric_table,
    recommend_rows,
    slice_table,
)
from rope.bench.recommend.score import RecommendScore, score
from rope.bench.recommend.users import mean_of_history, read_user_vectors
from rope.console import progress_bar
from rope.domain import DomainName, with_published
from rope.errors import DatasetError, UsageError
from rope.moved import renamed_argument
from rope.table import Table

__all__ = ["MEAN_OF_HISTORY", "USER_VECTORS", "score_recommendations"]

MEAN_OF_HISTORY: Final = "mean of history"
USER_VECTORS: Final = "user vectors"
"""What the two kinds of user vectors are called among the methods."""


@renamed_argument("effort", "compute")
def score_recommendations(
    embeddings: Given,
    interactions: str | PathLike[str],
    *,
    columns: Columns | None = None,
    users: str | PathLike[str] | None = None,
    options: RecommendOptions | None = None,
    compute: ComputeSettings | None = None,
    progress: bool = False,
) -> Answer[RecommendScore]:
    """Score embeddings of items by how well they predict what each user takes next, among all items.

    Args:
        embeddings: of the items; see `rope.bench.io.given.embeddings_of`.
        interactions: the file or folder that says who took what; see `rope.bench.recommend.readers`.
        columns: which of its columns hold users, items and times; None for those of the usual names.
        users: a file with vectors of the users, see `users.read_user_vectors`; None for the mean of what each took.
        options: what to ask, and how; None for the defaults of the command.
        compute: how to spend the machine.
        progress: draw a bar on stderr, if that is a terminal.

    Raises:
        UsageError: a file does not exist, the domain is not there, or an option has no use.
        EmbeddingError: the embeddings do not fit the interactions.
        DatasetError: no user can be asked.
    """
    options, place = options or RecommendOptions(model=name_of(embeddings)), Path(interactions)
    known = read_interactions(place, columns)
    found, task = _run(
        embeddings, known, place.name, None if users is None else Path(users), options, compute, progress
    )
    shown: list[str | Table] = [*_said(found, task), metric_table(found), slice_table(found, "NDCG@10")]
    plain = as_json(found, task)
    return Answer(found, shown, plain, rows=recommend_rows(plain))


def _said(found: RecommendScore, task: RecommendProvenance) -> list[str]:
    """What stands above the tables, a sentence each."""
    asked = next(iter(found.methods.values()))["all"].n_users
    said = [f"{task.options.model}: {asked:,} of {task.n_users:,} users asked for 1 of {task.embeddings.n:,} items"]
    if task.columns is not None:
        user, item, time = task.columns
        said.append(f"{task.interactions}: user, item and time are the columns {user}, {item} and {time}")
    if task.n_tied_targets:
        said.append(
            f"{task.n_tied_targets:,} of {asked:,} users took their target item at the same time as another; which of "
            "them is the target was chosen by a hash"
        )
    return said


def _run(
    given: Given,
    interactions: Interactions,
    interactions_name: str,
    users: Path | None,
    options: RecommendOptions,
    compute: ComputeSettings | None,
    progress: bool,
) -> tuple[RecommendScore, RecommendProvenance]:
    if users is not None and options.max_history is not None:
        raise UsageError("--max-history applies to the mean of the history; leave it out with --users")
    embeddings = embeddings_of(given, with_published([options.domain] if options.domain else []))
    domain = choose_domain(embeddings, options.domain)
    items, known = align_items(embeddings.pop(domain), interactions, domain)
    split = leave_one_out(known, options.stage)
    if len(split.users) == 0:
        raise DatasetError(f"{interactions_name}: no user has three interactions, so nobody can be asked")
    vectors, compute = Vectors.of(items.vectors), compute or ComputeSettings()
    asking = _user_vectors(users, vectors, known, split, options.max_history)
    with progress_bar("ranking", len(asking) * len(vectors), shown=progress) as advance:
        result = score(
            vectors,
            asking,
            split,
            replace(compute, advance=advance) if progress else compute,
            name=MEAN_OF_HISTORY if users is None else USER_VECTORS,
            neighbours=options.neighbours,
            exclude_history=options.exclude_history,
        )
    return result, _task(items, domain, interactions, interactions_name, users, options)


def _user_vectors(
    users: Path | None, items: Vectors, known: Interactions, split: LeaveOneOut, max_history: int | None
) -> npt.NDArray[np.float32]:
    if users is None:
        return mean_of_history(items, split.history, max_history)
    return read_user_vectors(users, [known.user_ids[row] for row in split.users], items.dim)


def _task(
    items: DomainEmbeddings,
    domain: DomainName,
    interactions: Interactions,
    interactions_name: str,
    users: Path | None,
    options: RecommendOptions,
) -> RecommendProvenance:
    return RecommendProvenance(
        options=options,
        user_vectors=MEAN_OF_HISTORY if users is None else users.name,
        interactions=interactions_name,
        interactions_sha256=interactions_sha256(interactions),
        n_users=len(interactions.user_ids),
        n_interactions=len(interactions.taken.items),
        n_repeated=interactions.n_repeated,
        columns=interactions.columns,
        n_tied_targets=count_tied_targets(interactions, options.stage),
        domain=domain,
        embeddings=note_of(items),
    )
