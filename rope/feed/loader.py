"""Batches for a training loop, and where in them it stands."""

import gc
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from rope.errors import UsageError
from rope.feed.records import AllDamaged, ProductBatch, SampleBatch

__all__ = ["BatchSource", "Feed"]

BatchT_co = TypeVar("BatchT_co", bound=ProductBatch | SampleBatch, covariant=True)


class BatchSource(Protocol[BatchT_co]):
    """What comes in which order: `BalancedProducts` and `SampleStream`, each with keys and items of its own.

    Attributes:
        identity: everything that decides the order, by name.
    """

    identity: dict[str, str | int]

    @property
    def steps_per_epoch(self) -> int:
        """How many batches this rank gets in an epoch."""

    def steps(self, epoch: int, position: int) -> Iterator[tuple[list[Any], int]]:
        """The keys of each batch from a position on, and the position after it."""

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        """Read and decode one item; called in workers."""

    def collate(self, items: list[Any]) -> BatchT_co | AllDamaged:
        """Make a batch; called in workers."""


class Feed(Generic[BatchT_co]):
    """The batches of a source, decoded by workers, one epoch an iteration.

    The state counts what the training loop received, whatever the workers have prepared beyond that: a batch counts as
    soon as the loop has it. Loaded into a feed of the same source, with any number of workers, it makes the next
    iteration begin with the batch that would have come next. The global random number generators of torch, NumPy and
    Python are neither read nor moved.

    Args:
        source: a `BalancedProducts` or a `SampleStream`.
        num_workers: processes that decode; 0 decodes in this one.
        prefetch: batches that each worker prepares ahead.
        pin_memory: put tensors where a GPU can fetch them faster.
        epochs: how many epochs will be iterated in all. With it, the workers begin once and prepare the first batches
            of an epoch while the loop is busy with the end of the one before; without, they begin with every epoch.

    Attributes:
        epoch: the epoch of the next batch, from 0.
        n_damaged: how many samples could not be decoded so far, in all epochs.

    Example:
        for epoch in range(feed.epoch, 80):
            for batch in feed:
                train(batch)
                save(model, feed.state_dict())
    """

    def __init__(
        self,
        source: BatchSource[BatchT_co],
        *,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        epochs: int | None = None,
    ) -> None:
        if num_workers < 0 or prefetch < 1 or (epochs is not None and epochs < 1):
            raise UsageError(
                f"need num_workers >= 0, prefetch >= 1 and epochs >= 1, got {num_workers}, {prefetch} and {epochs}"
            )
        self._source = source
        self._num_workers = num_workers
        self._prefetch = prefetch
        self._pin_memory = pin_memory
        self._epochs = epochs
        self._coming: Iterator[tuple[Any, int | None]] | None = None
        self._position = 0
        self.epoch = 0
        self.n_damaged = 0

    def __len__(self) -> int:
        """How many batches a whole epoch has; the first iteration after a resumption has fewer."""
        return self._source.steps_per_epoch

    def __iter__(self) -> Iterator[BatchT_co]:
        """What is left of the present epoch; its end begins the next."""
        coming, self._coming = self._coming or self._read_ahead(), None  # what fails begins anew at the same batch
        for batch, end in coming:
            if end is None:
                break
            self._position = end
            self.n_damaged += len(batch.damaged)
            if not isinstance(batch, AllDamaged):
                self._coming = coming if self._epochs is not None else None
                yield batch
                self._coming = None
        self.epoch += 1
        self._position = 0
        self._coming = coming if self._epochs is not None and self.epoch < self._epochs else None

    def _read_ahead(self) -> Iterator[tuple[Any, int | None]]:
        """The batches from the present position on, each with the position after it; the end of an epoch has None."""
        ends: deque[int | None] = deque()
        batches: DataLoader[Any] = DataLoader(
            _Items(self._source),
            batch_sampler=_Keys(self._steps(), ends),
            num_workers=self._num_workers,
            collate_fn=partial(_collate, self._source),
            pin_memory=self._pin_memory,
            generator=torch.Generator().manual_seed(self.epoch),  # else every epoch would move the global one
            prefetch_factor=self._prefetch if self._num_workers else None,
            worker_init_fn=_keep_what_was_inherited,
        )
        for batch in batches:
            yield batch, ends.popleft()

    def _steps(self) -> Iterator[tuple[list[Any], int | None]]:
        position, last = self._position, max(self.epoch + 1, self._epochs or 0)
        for epoch in range(self.epoch, last):
            yield from self._source.steps(epoch, position)
            yield [], None
            position = 0

    def state_dict(self) -> dict[str, Any]:
        """Where the loop stands, as plain numbers and strings that JSON and `torch.save` keep.

        Equal on all ranks except for `n_damaged`.
        """
        return {
            "epoch": self.epoch,
            "position": self._position,
            "n_damaged": self.n_damaged,
            "source": dict(self._source.identity),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the next iteration begins there.

        Raises:
            UsageError: the state is of another order: another dataset, split, seed and so on.
        """
        there, here = state["source"], self._source.identity
        differences = [
            f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        ]
        if differences:
            raise UsageError(
                f"this state belongs to another feed: {', '.join(differences)}; start over, or with its options"
            )
        self._coming = None
        self.epoch, self._position, self.n_damaged = state["epoch"], state["position"], state["n_damaged"]


def _keep_what_was_inherited(_: int) -> None:
    """Take what a forked worker has from its parent out of garbage collection.

    Cycles of objects that libraries made in the parent, of files and threads that the worker does not have, must not be
    taken apart there: that has ended workers with a segmentation fault.
    """
    gc.freeze()


class _Items(Dataset[Any]):
    """A source as the map-style dataset that a DataLoader wants."""

    def __init__(self, source: BatchSource[ProductBatch | SampleBatch]) -> None:
        self._source = source

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        return self._source[key]


def _collate(source: BatchSource[ProductBatch | SampleBatch], items: list[Any]) -> Any:  # noqa: ANN401
    """A batch; nothing where an epoch ends, which has no keys."""
    return source.collate(items) if items else None


class _Keys:
    """Hands out the keys of each batch once, and notes the position after it."""

    def __init__(self, steps: Iterator[tuple[list[Any], int | None]], ends: deque[int | None]) -> None:
        self._steps = steps
        self._ends = ends

    def __iter__(self) -> Iterator[list[Any]]:
        for keys, end in self._steps:
            self._ends.append(end)
            yield keys
