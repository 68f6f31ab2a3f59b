"""Media files at addresses of fsspec, such as `s3://bucket/a.jpg`."""

from pathlib import Path

from rope.errors import DatasetError, UsageError

__all__ = ["TooLargeError", "is_address", "read_file"]

_WEB = ("http://", "https://")


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
