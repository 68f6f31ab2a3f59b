"""The site at an address of this machine, for a look before it is published."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from leaderboard.checked_board import CheckedBoard
from leaderboard.site import build_site
from rope.errors import UsageError

__all__ = ["serve_site"]


class _Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for every request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives it)
        """Log no request."""


def serve_site(checked: CheckedBoard, port: int, announce: Callable[[str], None], *, leave_out: bool = False) -> None:
    """Build the site in a temporary folder and serve it only to this machine until interrupted.

    Args:
        checked: the rows.
        port: to listen at; 0 takes a free one.
        announce: called with the address once the server answers.
        leave_out: as for `leaderboard.site.build_site`.

    Raises:
        UsageError: the port is in use, or there are no results.
    """
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        build_site(checked, site, leave_out=leave_out)
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(site)))
        except OSError as error:
            raise UsageError(f"--port {port}: cannot be listened at ({error.strerror}); give another, or 0") from error
        with server:
            announce(f"http://127.0.0.1:{server.server_port}/")
            with suppress(KeyboardInterrupt):  # how it is meant to end
                server.serve_forever()
