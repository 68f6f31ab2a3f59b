"""The run before: which of its shards can be taken over, and what its stages have decided.

A finished run leaves `run.json` in its folder of work, with the stages and the names of their shards. A recipe that
says `previous = "FOLDER"` takes from there what has the same key, and tells `sample` and `split` what was decided.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rope.curation.pipeline.manifest import ShardManifest, read_manifest, write_manifest
from rope.curation.pipeline.operation import GlobalOperation, load_operation
from rope.curation.pipeline.places import copy_file, map_places
from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.shard_job import ShardJob
from rope.curation.pipeline.sources import EarlierFiles
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, atomic_path

__all__ = ["PreviousRun", "earlier_key", "note_run", "read_previous"]

_RUN: Final = "run.json"


@dataclass(frozen=True, slots=True)
class _RunStage:
    """A stage of a run: its name, operation and options, and the names of its shards in order."""

    name: str
    use: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """A finished run, in another folder of work.

    Attributes:
        place: the folder.
        columns: our names of columns -> the pool's, where they differ.
        stages: in order; the first is that of the pool.
    """

    place: AnyPath
    columns: Mapping[str, str]
    stages: tuple[_RunStage, ...]

    @property
    def name(self) -> str:
        """What rows and reports call it."""
        return self.place.name

    def earlier(self, stage: str) -> EarlierFiles | None:
        """What a stage got and decided; None where the run had no such stage.

        Raises:
            DatasetError: its shards are not all there.
        """
        names = [one.name for one in self.stages]
        if stage not in names:
            return None
        at = names.index(stage)
        before, made = (list(self._manifests(one)) for one in self.stages[at - 1 : at + 1])
        return EarlierFiles(
            self.name,
            self._slices(self.stages[at - 1], before, "kept"),
            self._slices(self.stages[at], made, "kept"),
            self._slices(self.stages[at], made, "rejects"),
        )

    def take_over(self, job: ShardJob) -> bool:
        """Make a shard of the files of this run, if it has one of the same key; the manifest comes last."""
        folder = self.place / "stages" / job.stage
        manifest = read_manifest(folder / f"{job.name}.json")
        if manifest is None or manifest.key != job.key:
            return False
        for file in manifest.files:
            copy_file(folder / file.name, job.folder / file.name)
        write_manifest(job.manifest_path, manifest)
        return True

    def _manifests(self, stage: _RunStage) -> Iterator[ShardManifest]:
        folder = self.place / "stages" / stage.name
        for found in map_places(read_manifest, [folder / f"{name}.json" for name in stage.shards], folder):
            if found is None:
                raise DatasetError(f"previous = {self.place}: stage {stage.name!r} is not whole; run its recipe again")
            yield found

    def _slices(self, stage: _RunStage, manifests: Sequence[ShardManifest], kind: str) -> tuple[PoolSlice, ...]:
        files = [getattr(part, kind) for manifest in manifests for part in manifest.parts]
        folder = self.place / "stages" / stage.name
        return tuple(PoolSlice(folder / file.name, 0, file.rows, file.sha256) for file in files)


def earlier_key(earlier: EarlierFiles) -> str:
    """Hash of all that a stage takes from the previous run."""
    hashes = [[file.sha256 for file in files] for files in (earlier.given, earlier.kept, earlier.rejects)]
    return hashlib.sha256(json.dumps([earlier.run, hashes]).encode()).hexdigest()


def note_run(recipe: CurationRecipe, made: Sequence[tuple[Stage, Sequence[ShardJob]]]) -> None:
    """Write what the next run needs to know of a run that is finished."""
    stages = [
        {
            "name": stage.name,
            "use": stage.use,
            "options": _options(stage),
            "shards": [job.name for job in jobs],
        }
        for stage, jobs in made
    ]
    text = json.dumps({"columns": recipe.pool.columns, "stages": stages}, indent=1, ensure_ascii=False) + "\n"
    path = recipe.work / _RUN
    if not (path.is_file() and path.read_text("utf-8") == text):
        with atomic_path(path) as temporary:
            temporary.write_text(text, "utf-8")


def read_previous(recipe: CurationRecipe) -> PreviousRun | None:
    """The run that a recipe builds on; None where it names none.

    Raises:
        UsageError: there is no finished run, or one of another recipe.
    """
    if recipe.previous is None:
        return None
    try:
        raw = json.loads((recipe.previous / _RUN).read_text("utf-8"))
        stages = tuple(
            _RunStage(one["name"], one["use"], one["options"], tuple(one["shards"])) for one in raw["stages"]
        )
        found = PreviousRun(recipe.previous, raw["columns"], stages)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{recipe.name}: previous = {recipe.previous} holds no finished run; expected the folder of work of an "
            "earlier run of this recipe, run to its end"
        ) from error
    if other := _difference(recipe, found):
        raise UsageError(
            f"{recipe.name}: previous = {recipe.previous} is a run of another recipe: {other}; name a run of this one, "
            "or leave previous out and start from nothing"
        )
    return found


def _difference(recipe: CurationRecipe, found: PreviousRun) -> str:
    """What the previous run has otherwise, of what must be the same; empty where nothing is.

    One of the two may have stages more at its end.
    """
    if dict(found.columns) != dict(recipe.pool.columns):
        return f"its [pool.columns] are {dict(found.columns)}, and here they are {dict(recipe.pool.columns)}"
    for theirs, ours in zip(found.stages[1:], recipe.stages, strict=False):
        if (theirs.name, theirs.use) != (ours.name, ours.use):
            return f"it has a stage {theirs.name!r} ({theirs.use}) where this one has {ours.name!r} ({ours.use})"
        operation, options = load_operation(ours.use), _options(ours)
        for name in operation.settled if isinstance(operation, GlobalOperation) else ():
            if theirs.options.get(name) != options[name]:
                had, has = theirs.options.get(name), options[name]
                return f"its stage {ours.name!r} has {name} = {had!r}, and here it is {has!r}"
    return ""


def _options(stage: Stage) -> dict[str, Any]:
    """All options of a stage, as JSON has them."""
    values = dataclasses.asdict(load_operation(stage.use).options(**stage.options))
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain
