"""The gallery of a recommendation task: every item that has a vector, and the interactions in its terms."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from rope.bench.io.embeddings import DomainEmbeddings, align
from rope.bench.recommend.interactions import Interactions, Sequences
from rope.dataset.directory import SampleLabels
from rope.domain import DomainName
from rope.errors import UsageError

__all__ = ["align_items", "choose_domain", "interactions_sha256"]


_Name = TypeVar("_Name", bound=DomainName)


def choose_domain(embeddings: Mapping[_Name, DomainEmbeddings], wanted: str | None) -> _Name:
    """The domain whose samples are the items: the one named, or the only one there.

    Raises:
        UsageError: there are several and none is named, or the one named is not there.
    """
    found = list(embeddings)
    if wanted is None and len(found) == 1:
        return found[0]
    matching = [domain for domain in found if domain == wanted]
    if not matching:
        what = "say which are the items" if wanted is None else f"not of {wanted!r}"
        raise UsageError(f"--domain: the embeddings are of {', '.join(found)}; {what}")
    return matching[0]


def align_items(
    embeddings: DomainEmbeddings, interactions: Interactions, domain: DomainName
) -> tuple[DomainEmbeddings, Interactions]:
    """Put the vectors in order of id, and let the interactions speak of their rows.

    The gallery is every item that has a vector, whether or not anybody took it.

    Raises:
        EmbeddingError: an item of the interactions has no vector, or an item has two, or one without a direction.
    """
    ids = sorted({*embeddings.sample_ids, *interactions.item_ids}, key=lambda one: (len(one), one))
    aligned = align({domain: embeddings}, {domain: SampleLabels(ids, ids)})[domain]
    row_of = {one: row for row, one in enumerate(ids)}
    rows = np.array([row_of[one] for one in interactions.item_ids], np.int64)
    taken = Sequences(interactions.taken.offsets, rows[interactions.taken.items])
    return aligned, replace(interactions, item_ids=ids, taken=taken)


def interactions_sha256(interactions: Interactions) -> str:
    """SHA-256, in hex, of who took what in which order; the layout of the file and the order of its rows do not matter.

    The hashed bytes: for each user, in order of length of id and then code points, the user's id, the number of items
    and the ids of the items, oldest first, each followed by a zero byte, in UTF-8.

    >>> one = Interactions(["u"], ["a", "b"], Sequences.of([[0, 1]]))
    >>> other = Interactions(["u"], ["b", "a"], Sequences.of([[1, 0]]))
    >>> interactions_sha256(one) == interactions_sha256(other)
    True
    """
    digest = hashlib.sha256()
    for row in sorted(
        range(len(interactions.user_ids)), key=lambda i: (len(interactions.user_ids[i]), interactions.user_ids[i])
    ):
        items = [interactions.item_ids[i] for i in interactions.taken[row]]
        digest.update("".join(f"{text}\0" for text in (interactions.user_ids[row], str(len(items)), *items)).encode())
    return digest.hexdigest()
