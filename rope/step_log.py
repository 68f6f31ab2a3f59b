"""The log of a training run: a line of JSON for each step or score. A run may stop anywhere and go on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rope.files import atomic_path

__all__ = ["LOG_NAME", "append_to_log", "cut_log", "read_log"]

LOG_NAME = "log.jsonl"
"""Its name in the folder of a run."""


def append_to_log(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line; `values` has the `step`, the number of steps done."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(dict(values)) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The complete lines; none if there is no log. A kill may have truncated the last one.

    A line counts as whole if it is a JSON object with a `step`.
    """
    if not path.exists():
        return []
    found = (_entry(line) for line in path.read_bytes().decode("utf-8", "replace").split("\n"))
    return [entry for entry in found if entry is not None]


def cut_log(path: Path, step: int) -> None:
    """Remove what was logged after the step from which a run resumes, and a truncated last line."""
    if path.exists():
        kept = [json.dumps(entry) + "\n" for entry in read_log(path) if entry["step"] <= step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(kept), "utf-8")


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    is_whole = isinstance(entry, dict) and isinstance(entry.get("step"), int)
    return entry if is_whole else None
