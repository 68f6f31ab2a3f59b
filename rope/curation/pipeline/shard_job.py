"""What a worker is told: the shard to make, and how often it was tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rope.curation.pipeline.fault_injection import FaultInjection
from rope.curation.pipeline.manifest import ShardManifest, read_manifest
from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.sources import EarlierFiles
from rope.files import AnyPath

__all__ = ["ShardAttempt", "ShardJob"]


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A shard to make, with all that decides its bytes.

    Attributes:
        stage: name of the stage.
        name: of the shard, without a suffix: the beginning of its key, and a number where other shards have the same.
        key: hash of all that decides its bytes.
        use: name of the operation.
        options: of the operation, as plain values.
        sources: the rows that go in: one slice for a map operation.
        folder: where to write.
        batch_rows: rows that an operation gets at a time.
        deadline_s: seconds that an attempt may take.
        row_deadline_s: seconds more for each row.
        is_divisible: whether some of its rows can be tried without the others.
        checked: whether the sources are our own files, whose hashes are compared before they are read.
        earlier: what the stage of the previous run decided; None where nothing of it stays.
    """

    stage: str
    name: str
    key: str
    use: str
    options: Mapping[str, Any]
    sources: tuple[PoolSlice, ...]
    folder: AnyPath
    batch_rows: int
    deadline_s: float
    row_deadline_s: float
    is_divisible: bool
    checked: bool
    earlier: EarlierFiles | None = None

    @property
    def n_rows(self) -> int:
        """Rows that go in."""
        return sum(source.n_rows for source in self.sources)

    @property
    def manifest_path(self) -> AnyPath:
        """Where the manifest is when the shard is complete."""
        return self.folder / f"{self.name}.json"

    @property
    def is_done(self) -> bool:
        """Whether the shard is complete, as far as names, keys and sizes tell."""
        return self.manifest() is not None

    def manifest(self) -> ShardManifest | None:
        """Its manifest; None where it is not complete."""
        found = read_manifest(self.manifest_path)
        return found if found is not None and found.key == self.key else None


@dataclass(frozen=True, slots=True)
class ShardAttempt:
    """An attempt at a shard, or at finding out whether some of its rows kill the worker.

    Attributes:
        job: the shard.
        attempt: 0 for the first.
        rows: only try these rows (first, and one after the last), and write nothing; None to make the shard.
        lethal: rows that are quarantined unseen, and why.
        fault_injection: faults on purpose.
        then: the rows that this worker will probably get next, to prepare them ahead; None for none.
    """

    job: ShardJob
    attempt: int = 0
    rows: tuple[int, int] | None = None
    lethal: Mapping[int, str] = field(default_factory=dict)
    fault_injection: FaultInjection | None = None
    then: PoolSlice | None = None

    @property
    def deadline_s(self) -> float:
        """Seconds that it may take, doubled at each attempt, as the machine may only be busy and no row lethal."""
        n_rows = self.job.n_rows if self.rows is None else self.rows[1] - self.rows[0]
        return (self.job.deadline_s + n_rows * self.job.row_deadline_s) * 2.0**self.attempt

    def __str__(self) -> str:
        """The same for all attempts at the same thing."""
        rows = "" if self.rows is None else f"[{self.rows[0]}:{self.rows[1]}]"
        return f"{self.job.stage}/{self.job.name}{rows}"
