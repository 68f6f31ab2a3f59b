"""Folders and files at addresses of fsspec, such as `s3://bucket/pool`, and where this machine keeps its own state."""

import os
from pathlib import Path

from rope.errors import DatasetError, UsageError
from rope.files import Address, AnyPath

__all__ = ["TooLargeError", "as_directory", "cache_folder", "is_address", "read_file"]

_WEB = ("http://", "https://")


def as_directory(address: Address) -> AnyPath:
    """A folder on this machine as a path, and anything with `://` in it as an address of fsspec.

    >>> as_directory("run[12]/a::b").name
    'a::b'
    >>> as_directory("memory://bucket/OUT").name
    'OUT'

    Raises:
        UsageError: no installed package can read addresses of this kind.
    """
    if not isinstance(address, str):
        return Path(address) if isinstance(address, os.PathLike) else address
    if "://" not in address:
        return Path(address)
    from upath import UPath

    try:
        remote = UPath(address, use_listings_cache=False)  # others may write there while this process reads
        remote.fs  # noqa: B018 -- looks for the package of the protocol
    except (ValueError, ImportError, OSError) as error:
        told = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"{address}: addresses of this kind cannot be read ({told}); install what they need: an fsspec package "
            "such as s3fs or gcsfs, and for hdfs:// Java and Hadoop"
        ) from error
    return Path(remote.path) if remote.protocol in ("", "file", "local") else remote


def cache_folder() -> Path:
    """Where this package keeps its own state: `$ROPE_CACHE`, else `rope-bench` in the user's cache folder."""
    if own := os.environ.get("ROPE_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rope-bench"


def is_address(path: str) -> bool:
    """Whether a text is an address rather than a path.

    >>> is_address("s3://bucket/a.jpg"), is_address("C:/a.jpg"), is_address("a.jpg")
    (True, False, False)
    """
    return "://" in path


def read_file(path: str, max_bytes: int | None = None) -> bytes:
    """The bytes of a media file on this machine or at an address of fsspec; nothing is taken from the web.

    Args:
        path: a path or an address.
        max_bytes: a larger file is not read; None for any size.

    Raises:
        OSError: it cannot be read; a `FileNotFoundError` where it is missing.
        UsageError: it is at an address of the web, which is fetched with limits and tries, or not at all; or no package
            for such addresses is installed.
        DatasetError: it is larger than `max_bytes`.
    """
    if not is_address(path):
        _refuse_larger(Path(path).stat().st_size, max_bytes)
        return Path(path).read_bytes()
    if path.lower().startswith(_WEB):
        raise UsageError(f"{path}: is on the web; put a stage download before the stages that read media")
    import fsspec  # type: ignore[import-untyped]

    try:
        system, name = fsspec.core.url_to_fs(path, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UsageError(f"{path}: addresses of this kind cannot be read ({error})") from error
    _refuse_larger(int(system.size(name) or 0), max_bytes)
    content: bytes = system.cat_file(name)
    return content


class TooLargeError(DatasetError):
    """A file has more bytes than may be read."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__(f"has {n_bytes:,} bytes")
        self.n_bytes = n_bytes


def _refuse_larger(n_bytes: int, max_bytes: int | None) -> None:
    """Refuse a file that is larger than may be."""
    if max_bytes is not None and n_bytes > max_bytes:
        raise TooLargeError(n_bytes)
