"""What a run of the tests skipped, and why, in one table."""

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["table"]


def table(reports: Iterable[Any], n_deselected: int = 0) -> list[str]:
    """The lines of the table: how many tests, why, and the files that they are in; the largest number first.

    A module that is skipped as a whole counts as one, since its tests were never collected.
    """
    files: dict[str, list[str]] = {}
    for report in reports:
        path, _, reason = report.longrepr
        files.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid.partition("::")[0] or path)
    rows = [(str(len(paths)), reason, _first_few(sorted(set(paths)))) for reason, paths in files.items()]
    rows.sort(key=lambda row: (-int(row[0]), row[1]))
    if n_deselected:
        rows.append((str(n_deselected), "deselected on the command line, by -m or -k", ""))
    return _aligned([("tests", "why", "where"), *rows]) if rows else ["nothing was skipped"]


def _first_few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:2]) + (f" and {len(paths) - 2} more" if len(paths) > 2 else "")


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    wide = max(len(row[1]) for row in rows)
    return [f"{n:>5}  {why:<{wide}}  {where}".rstrip() for n, why, where in rows]
