"""Waiting for the Hub: for its quotas as long as it says, for a server or network in trouble a few times."""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from time import sleep
from typing import Final, TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]

from rope.rate_limit import backoff_s, retry_after_s

__all__ = ["patiently", "pause_s"]

T = TypeVar("T")

_QUOTA: Final = 429
_IN_TROUBLE: Final = (408, 500, 502, 503, 504)

_QUOTA_S: Final = 60.0, 600.0
"""Pause after the first 429 that does not say how long, and the longest; quotas are those of an hour."""

_TROUBLE_S: Final = 1.0, 30.0
_MAX_TOLD_S: Final = 3600.0 * 2
_PATIENCE_S: Final = {_QUOTA: 3600.0 * 3, None: 60.0}
"""Status -> how long to wait in all without getting any further; None for every other trouble."""


def patiently(call: Callable[[], T], repo: str, *, n_done: Callable[[], int] = lambda: 0, shown: bool = True) -> T:
    """Make a call that may be repeated, again and again while the Hub refuses it for a while.

    Args:
        call: goes on where it stopped.
        repo: named in the sentence about each pause.
        n_done: how far the call has come; while that grows, patience does not wear out.
        shown: whether to say on stderr what is waited for.

    Raises:
        Exception: what the call raises, if waiting does not help or has not helped.
    """
    waited_s, tries, n_before = 0.0, 0, n_done()
    while True:
        try:
            return call()
        except (HTTPError, LocalEntryNotFoundError, RuntimeError) as error:
            answer = _answer(error)
            if answer is None:
                raise
            status, headers = answer
            if (n_now := n_done()) > n_before:
                waited_s, tries, n_before = 0.0, 0, n_now
            tries += 1
            wait_s = pause_s(status, headers, tries, datetime.now(timezone.utc))
            waited_s += wait_s
            if waited_s > _PATIENCE_S.get(status, _PATIENCE_S[None]):
                raise
            trouble = f"the Hub is in trouble ({status or type(error).__name__})"
            what = "the Hub's quota is used up (429)" if status == _QUOTA else trouble
        if shown:
            print(f"{repo}: {what}; going on in {wait_s:,.0f} s", file=sys.stderr, flush=True)
        sleep(wait_s)


def pause_s(status: int | None, headers: Mapping[str, str], tries: int, now: datetime) -> float:
    """Seconds to wait: what the answer says in `Retry-After` or `RateLimit`, else longer with each try.

    >>> now = datetime(2026, 1, 2, tzinfo=timezone.utc)
    >>> [pause_s(429, headers, 2, now) for headers in ({"retry-after": "7"}, {"ratelimit": '"api";r=0;t=55'}, {})]
    [7.0, 56.0, 120.0]
    >>> [pause_s(503, {}, tries, now) for tries in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 30.0]

    Args:
        status: of the answer; None where there was none.
        headers: of the answer, found regardless of their case.
        tries: made so far, at least 1.
        now: for a `Retry-After` that is a date.
    """
    told = {name.lower(): value for name, value in headers.items()}
    told_s = retry_after_s(told.get("retry-after"), now, _MAX_TOLD_S)
    if told_s is not None:
        return told_s
    if status == _QUOTA and (reset := re.search(r"\bt\s*=\s*(\d{1,6})", told.get("ratelimit", ""))):
        return min(float(reset[1]) + 1, _MAX_TOLD_S)  # whole seconds, rounded down
    return backoff_s(tries, *(_QUOTA_S if status == _QUOTA else _TROUBLE_S), share=1.0)


def _answer(error: BaseException) -> tuple[int | None, Mapping[str, str]] | None:
    """Status and headers of the answer behind an error that waiting may help; no status where the network failed.

    None where waiting does not help.
    """
    if isinstance(error, HfHubHTTPError):
        status = int(error.response.status_code)
        return (status, error.response.headers) if status in (_QUOTA, *_IN_TROUBLE) else None
    if isinstance(error, HTTPError):
        return None, {}
    return None if error.__cause__ is None else _answer(error.__cause__)
