"""Hashes that take long to find, or need what may be gone later: a run notes them in its folder of work."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from rope.curation.pipeline.operation import MapOperation, Operation
from rope.curation.pipeline.previous import earlier_key, read_previous
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.sources import EarlierFiles
from rope.files import AnyPath, atomic_path

__all__ = ["earlier_of", "fingerprint_of", "key_of"]

_FINGERPRINTS: Final = "fingerprints.json"
"""In the folder of work: hash of an operation and its options -> fingerprint of its model, or of earlier decisions."""


def fingerprint_of(work: AnyPath, operation: Operation, options: object, key: str, *, noted: bool) -> str | None:
    """The fingerprint of a stage's options. That of a stage that takes rows is of a model, and noted in the folder.

    Args:
        work: the folder.
        operation: of the stage.
        options: of the operation.
        key: of the operation and its options.
        noted: take what was noted, where something was. A model takes long to load and may lie on the Hub, and what a
            run has made is known without it.
    """
    if operation.fingerprint is None:
        return None
    if not isinstance(operation, MapOperation):
        return operation.fingerprint(options)
    known = _noted(work)
    if noted and key in known:
        return known[key]
    return _note(work, key, operation.fingerprint(options))


def earlier_of(recipe: CurationRecipe, stage: Stage, *, noted: bool) -> tuple[str | None, EarlierFiles | None]:
    """The hash of what the previous run has decided in a stage, and the files; None where it had no such stage.

    Args:
        recipe: names the previous run.
        stage: one whose decisions stay.
        noted: take the hash that was noted, where one was; then there are no files, and the previous run may be gone.
    """
    key = key_of([stage.name, "of", str(recipe.previous)])
    known = _noted(recipe.work)
    if noted and key in known:
        return known[key] or None, None
    previous = read_previous(recipe)
    files = None if previous is None else previous.earlier(stage.name)
    found = "" if files is None else earlier_key(files)
    return _note(recipe.work, key, found) or None, files


def _noted(work: AnyPath) -> dict[str, str]:
    path = work / _FINGERPRINTS
    known: dict[str, str] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return known


def _note(work: AnyPath, key: str, found: str) -> str:
    known = _noted(work)
    if known.get(key) != found:
        with atomic_path(work / _FINGERPRINTS) as temporary:
            temporary.write_text(json.dumps(known | {key: found}, indent=1), "utf-8")
    return found


def key_of(values: Sequence[Any]) -> str:
    """Hash of plain values."""
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
