"""Every sample of a domain once an epoch, read from the shards one row group after the other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rope.config import Count, Seed, check_value
from rope.dataset.directory import open_shard, shard_paths
from rope.dataset.locate import as_directory
from rope.dataset.manifest import read_manifest
from rope.dataset.sample_rows import sample_columns, to_sample
from rope.domain import DomainName, Sample, Split, config_of
from rope.errors import DatasetError, UsageError
from rope.feed.clips import ClipReader, OnDamaged, asks_for_sound, check_choices
from rope.feed.order import hash64, shuffled
from rope.feed.records import AllDamaged, Clip, SampleBatch, collate_clips
from rope.feed.share import ProcessShare
from rope.files import Address, AnyPath

__all__ = ["Encoded", "Read", "RowGroup", "SampleStream", "plan_blocks", "plan_reads"]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A part of a shard that is read as a whole.

    Attributes:
        path: of the shard.
        number: in the shard, from 0.
        n_rows: rows in it.
    """

    path: AnyPath
    number: int
    n_rows: int

    @property
    def name(self) -> str:
        """The same wherever the dataset directory lies."""
        return f"{self.path.name} {self.number}"


@dataclass(frozen=True, slots=True)
class Read:
    """Rows `first` to `last` of a block, in its shuffled order."""

    block: int
    first: int
    last: int


class Encoded(NamedTuple):
    """A sample that is still to be decoded, and the epoch it is for."""

    epoch: int
    sample: Sample


def plan_blocks(groups: Sequence[RowGroup], seed: int, epoch: int, groups_a_block: int) -> list[list[RowGroup]]:
    """The row groups in the order of an epoch, cut into blocks that are shuffled as a whole.

    >>> from pathlib import Path
    >>> groups = [RowGroup(Path("train.parquet"), number, 10) for number in range(5)]
    >>> [len(block) for block in plan_blocks(groups, 0, 0, 2)]
    [2, 2, 1]
    """
    order = shuffled("groups", seed, epoch, [group.name for group in groups])
    return [[groups[i] for i in order[k : k + groups_a_block]] for k in range(0, len(groups), groups_a_block)]


def plan_reads(block_rows: Sequence[int], start: int, stop: int) -> list[Read]:
    """What to read of blocks that stand one after the other for the rows `start` to `stop`.

    Past the last row the first follows again. There has to be a row in some block.

    >>> plan_reads([4, 3], 2, 8)
    [Read(block=0, first=2, last=4), Read(block=1, first=0, last=3), Read(block=0, first=0, last=1)]
    """
    reads: list[Read] = []
    offset = 0
    for block in cycle(range(len(block_rows))):
        if offset >= stop:
            break
        first, last = max(start - offset, 0), min(stop - offset, block_rows[block])
        if first < last:
            reads.append(Read(block, first, last))
        offset += block_rows[block]
    return reads


class SampleStream:
    """The samples of one domain and split, each once an epoch, without random access to the shards.

    The order of an epoch follows from the seed, the epoch and `groups_a_block`: row groups are shuffled, and of every
    `groups_a_block` of them that follow each other, the rows are shuffled. Each rank takes an equal, continuous part.

    Only the training process reads; the workers of a `Feed` decode. So a row group is read once however many workers
    there are, or twice where the parts of two ranks meet in its block. The next block is read while one is used: two
    blocks are in memory.

    Args:
        directory: a dataset directory.
        domain: the domain to read.
        split: the split to read.
        reader: how samples are decoded.
        seed: of the order.
        batch_size: samples a step for each rank.
        share: which rank this is, of how many.
        groups_a_block: how many row groups, of 16 MB each, are shuffled together; more mix better.
        drop_last: with it, each rank ends with the last full batch that all of them have; without it, the last batch
            may be smaller, and the last rank goes on with the first samples of the epoch, fewer than there are ranks,
            where they cannot be divided evenly.
        on_damaged: with `skip`, a sample that cannot be decoded is left out of its batch, which gets smaller; a batch
            of nothing else is left out.

    Raises:
        UsageError: an option is out of range, the dataset has no such split or domain, or there are too few samples for
            one step.
        DatasetError: the dataset cannot be read, or has no samples of this domain and split.
    """

    def __init__(
        self,
        directory: Address,
        domain: DomainName,
        split: Split,
        *,
        reader: ClipReader,
        seed: int,
        batch_size: int,
        share: ProcessShare = ProcessShare(),  # noqa: B008 -- frozen
        groups_a_block: int = 8,
        drop_last: bool = False,
        on_damaged: OnDamaged = "raise",
    ) -> None:
        folder = as_directory(directory)
        check_choices(folder, split, [domain], on_damaged)
        self._seed: int = check_value(Seed, seed, "seed")
        self._batch_size: int = check_value(Count, batch_size, "batch_size")
        self._groups_a_block: int = check_value(Count, groups_a_block, "groups_a_block")
        self._groups = _read_row_groups(shard_paths(folder, config_of(domain), split))
        n_samples = sum(group.n_rows for group in self._groups)
        if n_samples == 0:
            raise DatasetError(f"{directory}: the split {split} has no {config_of(domain)}")
        self._n_own = _n_own(n_samples, batch_size, share, drop_last=drop_last)
        if self._n_own == 0:
            raise UsageError(
                f"{directory}: {n_samples} {config_of(domain)} do not make one step of {batch_size} for each of "
                f"{share.world_size} ranks; choose a smaller batch size, or keep the last"
            )
        self._domain: DomainName = domain
        self._reader = reader
        self._rank = share.rank
        self._on_damaged = on_damaged
        self.identity: dict[str, str | int] = {
            "dataset": read_manifest(folder).fingerprint,
            "row_groups": hash64("row-groups", 0, 0, str([(group.name, group.n_rows) for group in self._groups])),
            "split": split,
            "domain": domain,
            "seed": self._seed,
            "world_size": share.world_size,
            "samples_a_rank": self._n_own,
            "groups_a_block": self._groups_a_block,
        }

    @property
    def steps_per_epoch(self) -> int:
        """How many batches each rank gets in an epoch."""
        return -(-self._n_own // self._batch_size)

    def steps(self, epoch: int, position: int) -> Iterator[tuple[list[Encoded], int]]:
        """The samples of this rank, batch by batch; what comes before `position` is not read, except for its block.

        Args:
            epoch: from 0.
            position: how many samples this rank has gone through.

        Yields:
            The samples of a batch, and the position after it.
        """
        samples = self._samples(epoch, position)
        while batch := [Encoded(epoch, sample) for sample in islice(samples, self._batch_size)]:
            position += len(batch)
            yield batch, position

    def __getitem__(self, key: Encoded) -> Clip | str:
        """Decode a sample; with `skip`, a sentence where that cannot be done.

        Raises:
            DatasetError: it cannot be decoded.
        """
        try:
            return self._reader.read(key.sample, self._seed, key.epoch)
        except DatasetError as error:
            if self._on_damaged == "raise":
                raise
            return str(error)

    def collate(self, items: list[Clip | str]) -> SampleBatch | AllDamaged:
        """Stack the samples that could be decoded; where there is none, the sentences that say why."""
        damaged = [item for item in items if isinstance(item, str)]
        clips = [item for item in items if not isinstance(item, str)]
        return collate_clips(clips, damaged) if clips else AllDamaged(damaged)

    def _samples(self, epoch: int, position: int) -> Iterator[Sample]:
        blocks = plan_blocks(self._groups, self._seed, epoch, self._groups_a_block)
        start = self._rank * self._n_own
        reads = plan_reads([_n_rows(block) for block in blocks], start + position, start + self._n_own)
        with ThreadPoolExecutor(1) as pool:
            tables = _one_ahead(pool, [blocks[read.block] for read in reads], asks_for_sound(self._reader))
            for read, rows in zip(reads, tables, strict=True):
                name = blocks[read.block][0].name
                order = np.random.default_rng(hash64("rows", self._seed, epoch, name)).permutation(len(rows))
                for row in order[read.first : read.last].tolist():
                    yield to_sample(rows, row, self._domain, self._reader.wanted(self._domain))


def _n_own(n_samples: int, batch_size: int, share: ProcessShare, *, drop_last: bool) -> int:
    """How many samples each rank gets in an epoch.

    >>> _n_own(11, 2, ProcessShare(0, 2), drop_last=False), _n_own(11, 2, ProcessShare(0, 2), drop_last=True)
    (6, 4)
    """
    if drop_last:
        return n_samples // (share.world_size * batch_size) * batch_size
    return -(-n_samples // share.world_size)


def _n_rows(block: Sequence[RowGroup]) -> int:
    return sum(group.n_rows for group in block)


def _read_row_groups(paths: Sequence[AnyPath]) -> list[RowGroup]:
    """The row groups of some shards, from the ends of the files."""
    groups: list[RowGroup] = []
    for path in paths:
        with open_shard(path) as shard:
            metadata = shard.metadata
        groups += [RowGroup(path, i, metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]
    return groups


def _read_block(block: Sequence[RowGroup], has_sound: bool) -> pa.Table:
    """The rows of a block, in the order of the block's row groups."""
    tables: list[pa.Table] = []
    for group in block:
        with open_shard(group.path) as shard:
            columns = sample_columns(shard.schema_arrow.names, has_sound=has_sound)
            tables.append(shard.read_row_group(group.number, columns=columns))
    return pa.concat_tables(tables)


def _one_ahead(pool: ThreadPoolExecutor, blocks: Sequence[Sequence[RowGroup]], has_sound: bool) -> Iterator[pa.Table]:
    """The rows of each block, while a thread reads the one after it."""
    pending = [pool.submit(_read_block, block, has_sound) for block in blocks[:1]]
    for i in range(len(blocks)):
        rows = pending.pop().result()
        pending = [pool.submit(_read_block, block, has_sound) for block in blocks[i + 1 : i + 2]]
        yield rows
