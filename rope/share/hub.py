"""The Hugging Face Hub: who is asking, and every way in which it can fail as one sentence."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of the HTTP library below, which has another name in each major version
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from rope.errors import RopeError, UsageError

__all__ = ["check_repo_id", "hub_bars", "hub_errors", "open_hub"]

_REPO_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)

_LOG_IN: Final = "log in with: hf auth login, or set HF_TOKEN"


def open_hub(*, to_write: bool) -> HfApi:
    """The Hub that `HF_ENDPOINT` names, or else huggingface.co, with the token of the user.

    Raises:
        RopeError: `to_write` is set and no token is known.
    """
    token = get_token()
    if to_write and token is None:
        raise RopeError(f"a push needs a Hugging Face token with write access, and none is known; {_LOG_IN}")
    return HfApi(token=token, library_name="rope-bench")


def check_repo_id(repo: str) -> None:
    """Raise unless a repository is named as `ORG/NAME`.

    >>> check_repo_id("shop-lab/mini-rope")

    Raises:
        UsageError: it is not.
    """
    if not _REPO_ID.fullmatch(repo) or repo.endswith(".git"):
        raise UsageError(f"{repo!r} is not a repository name; expected ORG/NAME, such as shop-lab/mini-rope")


@contextmanager
def hub_bars(shown: bool) -> Iterator[None]:
    """Let the Hub's library draw its bars of bytes while the block runs, if `shown` and stderr is a terminal."""
    if (shown and sys.stderr.isatty()) or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def hub_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what the Hub's library raises in the block into one sentence; other errors pass.

    The sentence is made of the status or the kind of the error. Texts about requests are not repeated, because they
    hold addresses with signatures; those about a name or a card are.

    Raises:
        RopeError: the Hub refuses, has no such thing, or cannot be reached.
    """
    try:
        yield
    except (HTTPError, EntryNotFoundError, FileMetadataError, OfflineModeIsEnabled, RuntimeError, ValueError) as error:
        raise RopeError(f"{repo}: {_what_happened(error, repo, endpoint)}") from error


def _what_happened(error: BaseException, repo: str, endpoint: str) -> str:
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, repo, endpoint)
    if isinstance(error, OfflineModeIsEnabled):
        return "the Hub was not asked, because HF_HUB_OFFLINE is set"
    if isinstance(error, ValueError):
        return f"the Hub does not take it: {' '.join(str(error).split())}"
    cause = error.__cause__
    if isinstance(error, RuntimeError | LocalEntryNotFoundError) and cause is not None:
        return _what_happened(cause, repo, endpoint)
    return f"the transfer from or to {endpoint} failed ({type(error).__name__}); run the command again to go on"


def _refusal(error: HfHubHTTPError, repo: str, endpoint: str) -> str:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return f"its owners have to give access first ({status}); ask at {endpoint}/datasets/{repo}"
    if isinstance(error, RevisionNotFoundError):
        return f"has no such revision ({status}); expected a branch, a tag or a commit"
    if isinstance(error, EntryNotFoundError):
        return f"a file is not there ({status}); the repository was changed, so run the command again"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"no such dataset repository, or it is private and the token may not see it ({status}); {_LOG_IN}"
    if status == 401:
        return f"the Hub does not accept the token (401); {_LOG_IN}"
    if status == 403:
        return f"the token may not do this (403); it needs write access to {repo.partition('/')[0]} for a push"
    if status == 429 or status >= 500:
        return f"the Hub is busy or out of order ({status}); run the command again later to go on"
    return f"the Hub refuses with status {status}"
