"""The datasets that have a board: those of `known_datasets.json`, and those whose directory is given.

A dataset is its fingerprint. What a row calls it is a remark: names and addresses come from here, so that no row can
take the place of another board.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from leaderboard.text import skeleton
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Split, all_pairs, config_of, in_order
from rope.errors import UsageError

__all__ = ["SPLIT", "KnownDataset", "Queries", "find_dataset", "known_datasets", "queries_of", "unregistered"]

SPLIT: Final[Split] = "validation"
"""The split that the board is of."""


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset with a board.

    Attributes:
        name: what the board calls it.
        fingerprint: None for one of which only figures of publications are known.
        samples: domain -> samples of the split, in the order of domains.
        directory: where it lies; None where it was not given.
        is_registered: False for one that a row alone knows of.
        told_name: what its own directory calls it.
        is_synthetic: whether it was drawn by a program, so that its numbers rank nothing.
        may_show_pictures: whether its licence lets anyone see its images and texts on the pages of models.
    """

    name: str
    fingerprint: str | None
    samples: Mapping[DomainName, int]
    directory: Path | None = None
    is_registered: bool = True
    told_name: str = ""
    is_synthetic: bool = False
    may_show_pictures: bool = False

    @property
    def key(self) -> str:
        """Its name and the beginning of its fingerprint, fit for an address; no two boards have the same."""
        plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in self.name.lower())
        if not self.is_registered:
            return f"unregistered-{self.fingerprint}"
        plain = plain.strip("-") or "dataset"
        end = "" if self.fingerprint is None else f"-{self.fingerprint[:12]}"
        return f"{plain.removesuffix(end)}{end}"


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """The queries of one pair that have a positive, by product id and then by query id.

    Attributes:
        query_ids: the sample id of each.
        product_ids: the product of each.
        n_positives: int64, gallery samples of that product.
    """

    query_ids: list[str]
    product_ids: list[str]
    n_positives: npt.NDArray[np.int64]


def known_datasets(directories: Sequence[Path]) -> list[KnownDataset]:
    """The registered datasets and the given ones.

    A given dataset replaces a registered one with its fingerprint, regardless of its own name; or one that is
    registered by its sizes alone. One that is called like another has the beginning of its fingerprint in its name.

    Args:
        directories: dataset directories.

    Raises:
        UsageError: two would have one address, so that their boards could not be told apart.
    """
    registered = _registered()
    others: list[KnownDataset] = []
    for directory in dict.fromkeys(path.resolve() for path in directories):
        given = _given(directory)
        same = next((one for one in registered if _is_same(one, given)), None)
        if same is None:
            if all(one.fingerprint != given.fingerprint for one in others):
                others.append(given)
        elif same.directory is None:
            registered[registered.index(same)] = replace(
                given, name=same.name, is_synthetic=same.is_synthetic, may_show_pictures=same.may_show_pictures
            )
    names = Counter(skeleton(one.name) for one in [*registered, *others])
    known = [*registered, *(_named_apart(one) if names[skeleton(one.name)] > 1 else one for one in others)]
    _check_addresses(known)
    return known


def find_dataset(
    known: Sequence[KnownDataset], name: str, fingerprint: str | None, samples: Mapping[DomainName, int]
) -> KnownDataset | None:
    """The dataset with a fingerprint; where there is none, as in a reported row, that of this name and these sizes."""
    if fingerprint is not None:
        return next((one for one in known if one.fingerprint == fingerprint), None)
    return next(
        (one for one in known if name in (one.name, one.told_name) and dict(one.samples) == dict(samples)), None
    )


def unregistered(fingerprint: str, samples: Mapping[DomainName, int]) -> KnownDataset:
    """A dataset that only a row knows of, under a name and an address that the row does not choose."""
    return KnownDataset(f"dataset {fingerprint[:12]}", fingerprint, samples, is_registered=False)


@lru_cache(maxsize=4)
def queries_of(directory: Path, fingerprint: str) -> Mapping[str, Queries]:
    """Pair -> its queries that have a positive, for each pair with any; from the labels alone.

    Args:
        directory: a dataset directory.
        fingerprint: of the dataset; names the content, for what is remembered.

    Raises:
        UsageError: its queries have their own galleries.
        DatasetError: as `rope.dataset.directory.read_labels`.
    """
    labels = read_labels(directory, SPLIT)
    if any(rows.galleries is not None for rows in labels.values()):
        raise UsageError(f"{directory}: its queries have their own galleries; the board covers whole domains")
    counts = {domain: Counter(rows.product_ids) for domain, rows in labels.items()}
    found = {}
    for pair in all_pairs(labels):
        rows, itself = labels[pair.query], int(pair.query == pair.gallery)
        asked = sorted(
            (product, sample, n)
            for sample, product in zip(rows.sample_ids, rows.product_ids, strict=True)
            if (n := counts[pair.gallery][product] - itself) > 0
        )
        if asked:
            products, samples, n_positives = zip(*asked, strict=True)
            found[pair.name] = Queries(list(samples), list(products), np.array(n_positives, np.int64))
    return found


def _registered() -> list[KnownDataset]:
    raw: list[dict[str, Any]] = json.loads((files("leaderboard") / "known_datasets.json").read_text("utf-8"))
    return [
        KnownDataset(
            one["name"],
            one["fingerprint"],
            one["samples"],
            is_synthetic=one.get("synthetic", False),
            may_show_pictures=one.get("pictures", False),
        )
        for one in raw
    ]


def _given(directory: Path) -> KnownDataset:
    manifest = read_manifest(directory)
    counts = manifest.counts.get(SPLIT, {})
    samples = {domain: counts.get(config_of(domain), 0) for domain in in_order(manifest.domains)}
    return KnownDataset(manifest.name, manifest.fingerprint, samples, directory, told_name=manifest.name)


def _named_apart(one: KnownDataset) -> KnownDataset:
    return replace(one, name=f"{one.name} {(one.fingerprint or '')[:12]}")


def _is_same(known: KnownDataset, given: KnownDataset) -> bool:
    if known.fingerprint is None:
        return dict(known.samples) == dict(given.samples)
    return known.fingerprint == given.fingerprint


def _check_addresses(known: Sequence[KnownDataset]) -> None:
    keys = Counter(one.key for one in known)
    if twice := [one for one in known if keys[one.key] > 1]:
        listed = " and ".join(f"{one.name!r} ({one.directory or 'registered'})" for one in twice)
        raise UsageError(
            f"the datasets {listed} would have one address on the board; build one again with another --name"
        )
