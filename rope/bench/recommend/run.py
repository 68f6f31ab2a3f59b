"""The whole task: files in, score out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.io.embeddings import DomainEmbeddings, embeddings_sha256
from rope.bench.io.provenance import EmbeddingsNote
from rope.bench.io.readers import read_embeddings
from rope.bench.ranking.engine import Effort
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.gallery import align_items, choose_domain, interactions_sha256
from rope.bench.recommend.interactions import Interactions, LeaveOneOut, count_tied_targets, leave_one_out
from rope.bench.recommend.report import Options, Task
from rope.bench.recommend.score import RecommendScore, score
from rope.bench.recommend.users import mean_of_history, read_user_vectors
from rope.console import progress_bar
from rope.domain import DomainName, with_published
from rope.errors import DatasetError, UsageError

__all__ = ["MEAN_OF_HISTORY", "USER_VECTORS", "run"]

MEAN_OF_HISTORY: Final = "mean of history"
USER_VECTORS: Final = "user vectors"
"""What the two kinds of user vectors are called among the methods."""


def run(
    files: Sequence[Path],
    interactions: Interactions,
    interactions_name: str,
    users: Path | None,
    options: Options,
    effort: Effort,
) -> tuple[RecommendScore, Task]:
    """Score files of embeddings on interactions.

    Args:
        files: embeddings of the items, see `rope.bench.io.readers.read_embeddings`.
        interactions: who took what.
        interactions_name: what to call them in the result.
        users: vectors of the users, see `users.read_user_vectors`; None for the mean of the history.
        options: what to ask, and how.
        effort: how to spend the machine.

    Raises:
        UsageError: a file does not exist, the domain is not there, or an option has no use.
        EmbeddingError: the embeddings do not fit the interactions.
        DatasetError: no user can be asked.
    """
    if users is not None and options.max_history is not None:
        raise UsageError("--max-history is of the mean of the history; leave it out where --users gives the vectors")
    embeddings = read_embeddings(files, with_published([options.domain] if options.domain else []))
    domain = choose_domain(embeddings, options.domain)
    items, known = align_items(embeddings.pop(domain), interactions, domain)
    split = leave_one_out(known, options.stage)
    if len(split.users) == 0:
        raise DatasetError(f"{interactions_name}: no user has three interactions, so nobody can be asked")
    vectors = Vectors.of(items.vectors)
    asking = _user_vectors(users, vectors, known, split, options.max_history)
    with progress_bar("ranking", len(asking) * len(vectors)) as advance:
        result = score(
            vectors,
            asking,
            split,
            replace(effort, advance=advance),
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
    options: Options,
) -> Task:
    n, dim = items.vectors.shape
    note = EmbeddingsNote(n, dim, items.stored_dtype, items.n_duplicates_dropped, embeddings_sha256(items))
    return Task(
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
        embeddings=note,
    )
