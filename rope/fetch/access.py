"""Headers and cookies that a server asks for before it gives images."""

import os
import re
import urllib.request
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rope.errors import UsageError

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["COOKIES_VARIABLE", "HEADERS_VARIABLE", "Access", "read_access"]

HEADERS_VARIABLE: Final = "ROPE_FETCH_HEADERS"
"""Environment variable with headers, one a line."""

COOKIES_VARIABLE: Final = "ROPE_FETCH_COOKIES"
"""Environment variable with the path of a file of cookies."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "proxy-authorization", "range", "transfer-encoding"}
)
"""Headers that decide how an answer is read, or that belong to a proxy."""

_AUTHORIZATION: Final = "authorization"

_MIN_SECRET: Final = 4
"""Characters; what is shorter is found everywhere."""


@dataclass(frozen=True, slots=True)
class Access:
    """What is sent along; nothing of it is ever shown.

    Attributes:
        headers: name and value of each; sent to the server of the prefix alone.
        cookies: sent to the servers, paths and schemes that they are for; None for none.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cookies: MozillaCookieJar | None = field(default=None, repr=False)

    def headers_for(self, url: "URL", server: "URL | None") -> dict[str, str]:
        """What to send with a request.

        Args:
            url: the address to be asked.
            server: some address of the one server that the headers are for; None where there is none.
        """
        sent = dict(self.headers) if server is not None and url.origin() == server.origin() else {}
        if url.user is not None:  # the address of one image may have its own user
            sent = {name: value for name, value in sent.items() if name.lower() != _AUTHORIZATION}
        if self.cookies is not None:
            request = urllib.request.Request(str(url.with_user(None)))  # noqa: S310 -- never opened
            self.cookies.add_cookie_header(request)
            if cookie := request.get_header("Cookie"):
                given = next((name for name in sent if name.lower() == "cookie"), "Cookie")
                sent[given] = "; ".join(filter(None, (sent.get(given), cookie)))
        return sent

    @property
    def has_authorization(self) -> bool:
        """Whether a header says who asks."""
        return any(name.lower() == _AUTHORIZATION for name, _ in self.headers)

    def secrets(self) -> list[str]:
        """What must not be shown, the longest first: values of headers, with and without their first word, and cookies.

        >>> Access((("Authorization", "Bearer abcdef"),)).secrets()
        ['Bearer abcdef', 'abcdef']
        """
        values = [value for _, value in self.headers]
        values += [value.partition(" ")[2] for value in values]
        values += [cookie.value or "" for cookie in self.cookies or ()]
        return sorted((value for value in values if len(value) >= _MIN_SECRET), key=len, reverse=True)


def read_access(
    headers: Iterable[str] = (), cookies: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Access:
    """Headers as `Name: value` and a file of cookies in Netscape's format, as browsers and curl write it.

    Those of the environment are added: a command line can be read by every user of a machine.

    Errors say what is wrong and not what a value is.

    Raises:
        UsageError: a header is not so, or is one that a fetch decides itself; the file of cookies is missing, or of
            another format, or holds none that is still valid.
    """
    lines = [*environment.get(HEADERS_VARIABLE, "").splitlines(), *headers]
    named = cookies or environment.get(COOKIES_VARIABLE)
    return Access(tuple(_header(line) for line in lines if line.strip()), _cookies(Path(named)) if named else None)


def _header(text: str) -> tuple[str, str]:
    """Name and value of a header.

    >>> _header("X-Key:  abc ")
    ('X-Key', 'abc')
    """
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not _NAME.fullmatch(name) or not value or not value.isprintable():
        shown = f" (its name is {name!r})" if colon and _NAME.fullmatch(name) else ""
        raise UsageError(f"a header{shown} is not as expected, which is 'Name: value' in one line")
    if not value.isascii():
        raise UsageError(f"the header {name!r} has a value with other characters than those of ASCII")
    if name.lower() in _OURS:
        raise UsageError(f"the header {name!r} cannot be set; a fetch decides it itself")
    return name, value


def _cookies(path: Path) -> MozillaCookieJar:
    jar = MozillaCookieJar(str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it shows a traceback before it raises an error
            jar.load(ignore_discard=True, ignore_expires=True)
    except (LoadError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: is not a file of cookies in Netscape's format; it begins with '# Netscape HTTP Cookie File', and "
            "has a line of seven fields separated by tabs for each"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected a file of cookies") from error
    for cookie in jar:
        cookie.expires = cookie.expires or None  # curl writes 0 for one that lasts as long as its session
    jar.clear_expired_cookies()
    if not len(jar):
        raise UsageError(f"{path}: holds no cookie that is still valid; export the cookies again")
    return jar
