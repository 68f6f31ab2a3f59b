"""What goes into a shard, as files of the machine whose worker makes it, with the hashes compared."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rope.curation.pipeline.operation import Earlier
from rope.curation.pipeline.places import mirrored
from rope.curation.pipeline.pool import PoolSlice
from rope.errors import DatasetError
from rope.files import AnyPath, sha256_of

__all__ = ["DamagedError", "EarlierFiles", "earlier_here", "files_here"]


class DamagedError(DatasetError):
    """A file of a shard, its argument, does not have the bytes that its manifest vouches for; it is made again."""

    @property
    def path(self) -> AnyPath:
        """The file."""
        found: AnyPath = self.args[0]
        return found


@dataclass(frozen=True, slots=True)
class EarlierFiles:
    """Where `rope.curation.pipeline.operation.Earlier` is before a worker has brought it to its machine."""

    run: str
    given: tuple[PoolSlice, ...]
    kept: tuple[PoolSlice, ...]
    rejects: tuple[PoolSlice, ...]


@contextmanager
def files_here(*folders: Sequence[PoolSlice]) -> Iterator[list[list[Path]]]:
    """Files of folders on this machine, whose hashes were compared: themselves, or copies, which the block has.

    A folder for copies is only made where something has to be copied, as a worker that is killed leaves it behind.

    Args:
        folders: the files of one folder each.

    Raises:
        DamagedError: one does not have the bytes that its manifest vouches for.
    """
    with ExitStack() as stack:
        found = []
        for sources in folders:
            target = None
            if any(not isinstance(source.path, Path) for source in sources):
                target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rope-shard-")))
            names = [source.path.name for source in sources]
            copies = mirrored(sources[0].path.parent, names, target) if sources else []
            for source, copy in zip(sources, copies, strict=True):
                if sha256_of(copy) != source.sha256:
                    raise DamagedError(source.path)
            found.append(copies)
        yield found


@contextmanager
def earlier_here(earlier: EarlierFiles | None) -> Iterator[Earlier | None]:
    """The files of the previous run, as far as a job has any.

    Raises:
        DatasetError: one does not have the bytes that its manifest vouches for.
    """
    if earlier is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            files = stack.enter_context(files_here(earlier.given, earlier.kept, earlier.rejects))
        except DamagedError as error:  # not ours to make again
            raise DatasetError(
                f"{error.path}: of the previous run, has other bytes than were written; run its recipe again"
            ) from error
        yield Earlier(earlier.run, *files)
