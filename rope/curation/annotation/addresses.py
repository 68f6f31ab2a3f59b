"""Where a labelling tool finds the media of an item."""

import os
from pathlib import Path
from urllib.parse import quote

from rope.addresses import is_address
from rope.errors import UsageError

__all__ = ["address_of"]


def address_of(path: str, prefix: str, root: Path | str | None = None) -> str:
    """The address of a file: a prefix, and the path below a root, quoted as in a URL.

    A medium that has an address keeps it, unless that begins with the root.

    >>> address_of("images/a cup #1.jpg", "https://cdn.example.com/pool/")
    'https://cdn.example.com/pool/images/a%20cup%20%231.jpg'
    >>> address_of("/pool/images/杯.jpg", "/data/local-files/?d=", Path("/pool"))
    '/data/local-files/?d=images/%E6%9D%AF.jpg'
    >>> address_of("s3://shop/a cup.jpg", "/data/local-files/?d=", Path("/pool"))
    's3://shop/a cup.jpg'
    >>> address_of("s3://shop/a cup.jpg", "https://cdn.example.com/", "s3://shop")
    'https://cdn.example.com/a%20cup.jpg'

    Raises:
        UsageError: an absolute path is not below the root.
    """
    if is_address(path):
        start = f"{str(root or '').rstrip('/')}/"
        return prefix + quote(path.removeprefix(start)) if path.startswith(start) else path
    if root is not None and os.path.isabs(path):  # noqa: PTH117  of millions of texts
        below = os.path.relpath(path, root)
        if below.startswith(".."):
            raise UsageError(f"{path}: is not below {root}; name the folder that addresses begin at with --media-root")
        path = below
    return prefix + quote(path)
