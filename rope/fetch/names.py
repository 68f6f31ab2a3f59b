"""Names of images: the addresses they are fetched from, the files they become, and the ones that are refused."""

import re
from typing import Final
from urllib.parse import urlsplit

from rope.errors import UsageError

__all__ = [
    "LEDGER_NAME",
    "STATE_NAME",
    "check_prefix",
    "is_url",
    "name_fault",
    "shown_prefix",
    "stored_name_sql",
    "url_of",
]

STATE_NAME: Final = ".fetch"
"""Folder next to the images with the plan and unfinished files."""

LEDGER_NAME: Final = "failed.jsonl"
"""File next to the images that names those given up."""

_MAX_NAME_BYTES: Final = 255
"""Of one part of a path, on every usual file system."""


def is_url(address: str) -> bool:
    """Whether a name is a whole address of the web.

    >>> is_url("https://a.example/1.jpg"), is_url("HTTP://a.example/1.jpg"), is_url("ftp://a/1.jpg"), is_url("1.jpg")
    (True, True, False, False)
    """
    return re.match("https?://", address, re.IGNORECASE) is not None


def url_of(prefix: str, address: str) -> str:
    """The URL of an image: prefix and name, or the name alone where it is a URL.

    >>> url_of("https://a.example/images/", "1 #2.jpg"), url_of("https://a.example/", "https://b.example/1.jpg")
    ('https://a.example/images/1 %232.jpg', 'https://b.example/1.jpg')
    """
    return address if is_url(address) else prefix + address.replace("#", "%23")


def check_prefix(prefix: str) -> None:
    """Look whether a name can follow a prefix, before every image is requested at an address that is not one.

    >>> for prefix in ("https://a.example/images/", "https://a.example/get?key=1&name=", "https://a.example/img-"):
    ...     check_prefix(prefix)
    >>> check_prefix("https://a.example/images")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    rope.errors.UsageError: --prefix https://a.example/images: ends in a word, so the image 1.jpg would be requested ...

    Raises:
        UsageError: it ends in a letter or digit, in the name of the host, or in `..`.
    """
    try:
        urlsplit(prefix)
    except ValueError:
        return  # it is not an address at all, which the transfer says
    shown = shown_prefix(prefix)
    ends_in_host = re.fullmatch(r"(?i)https?://[^/?#]*", prefix) is not None
    if prefix and (prefix[-1].isalnum() or ends_in_host or prefix.endswith("..")):
        what = "the name of the host" if ends_in_host else "a word"
        raise UsageError(
            f"--prefix {shown}: ends in {what}, so the image 1.jpg would be requested at {shown}1.jpg; "
            f"expected {shown}/, or an end such as = or -"
        )


def shown_prefix(prefix: str) -> str:
    """A prefix without its user, its password and the values of its query.

    >>> shown_prefix("https://me:secret@a.example/get?key=abc&name="), shown_prefix("https://a.example/x/")
    ('https://a.example/get?key=…&name=', 'https://a.example/x/')
    """
    path, mark, query = re.sub(r"(?<=://)[^/?#]*@", "", prefix).partition("?")
    return path + mark + re.sub(r"(?<==)[^&]+", "…", query)


def stored_name_sql(column: str) -> str:
    """SQL for the name under which an image is stored: as `pathlib` would write it, without `//`, `/./` and `./`.

    A build looks for files by `root / name`, so both agree; `https://a/1.jpg` becomes `https:/a/1.jpg`.
    """
    return f"regexp_replace(regexp_replace({column}, '/(\\.?/)+', '/', 'g'), '^\\./', '')"


def name_fault(image: str) -> str | None:
    r"""Why an image cannot be stored under a name, or None if it can.

    >>> name_fault("a/b.jpg")
    >>> name_fault("a/../../b.jpg"), name_fault("C:/b.jpg"), name_fault("a\0.jpg")
    ('leads out of the folder', 'is absolute', 'has a backslash or control character')
    """
    parts = image.split("/")
    if image.startswith("/") or re.match("[A-Za-z]:", image):
        return "is absolute"
    if ".." in parts:
        return "leads out of the folder"
    if re.search(r"[\\\x00-\x1f\x7f]", image):
        return "has a backslash or control character"
    if parts[-1] in ("", "."):
        return "names no file"
    if parts[0] in (STATE_NAME, LEDGER_NAME):
        return "is that of a file of the fetch itself"
    if any(len(part.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES for part in parts):
        return f"is longer than the {_MAX_NAME_BYTES} bytes that a file system takes"
    return None
