"""The exceptions that rope raises for what somebody else can correct."""

__all__ = [
    "DatasetError",
    "EmbeddingError",
    "FileError",
    "MissingExtraError",
    "ReleaseError",
    "RopeError",
    "UsageError",
]


class RopeError(Exception):
    """Something outside this program is wrong; the message says what, where, and what to do.

    `exit_code` is what a command line ends with: 1 for a check that failed.
    """

    exit_code = 1


class UsageError(RopeError):
    """The command or call itself is wrong: a path that does not exist, an option out of range."""

    exit_code = 2


class FileError(UsageError):
    """A file is not what it was given as: of another kind, damaged, or with rows that make no sense."""


class MissingExtraError(UsageError):
    """A package that a part of this program needs is not installed; the message says how to get it."""


class ReleaseError(RopeError):
    """The text files of a release cannot be turned into a dataset."""


class DatasetError(RopeError):
    """A dataset directory is missing, incomplete or altered."""


class EmbeddingError(RopeError):
    """Embeddings do not fit the dataset, or hold values that have no direction."""
