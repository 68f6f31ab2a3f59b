"""One TOML file that says what is made of a pool.

name = "spring"

[pool]
path = "pool"                       # beside the recipe, or absolute
columns = { text = "title" }        # ours = theirs, where they differ

[[stage]]
use = "decode"

[[stage]]
use = "filter"
minimum = 0.25
"""

import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from rope.curation.pipeline.operation import load_operation
from rope.curation.pipeline.options import check_options
from rope.curation.splitting.leak_audit import KINDS
from rope.errors import UsageError
from rope.files import reading_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["CurationRecipe", "LeakRules", "PoolSource", "RunLimits", "Stage", "cut_recipe", "read_recipe"]

_POOL_STAGE: Final = "pool"


@dataclass(frozen=True, slots=True)
class PoolSource:
    """`[pool]`: where the raw rows come from.

    Attributes:
        path: see `rope.curation.pipeline.pool.open_pool`.
        shard_rows: rows of a shard: what is lost and done again when a worker dies.
        columns: our name of a column -> the pool's, where they differ.

    Raises:
        UsageError: a number is below 1.
    """

    path: str
    shard_rows: int = 2000
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shard_rows < 1:
            raise UsageError(f"shard_rows is {self.shard_rows}; expected at least 1")


@dataclass(frozen=True, slots=True)
class RunLimits:
    """`[limits]`: none of them changes what is kept, as long as rows are sound.

    Attributes:
        batch_rows: rows that an operation gets at a time.
        deadline_s: seconds that a worker may take for no rows at all, such as for loading a model.
        row_deadline_s: seconds more for each row; a row that takes four times as long as both is quarantined as hung.
        global_deadline_s: seconds for a stage that must see all rows.
        max_quarantined: share of the rows of a stage, above which the run stops; ten rows are always allowed.

    Raises:
        UsageError: a number is out of range.
    """

    batch_rows: int = 64
    deadline_s: float = 120.0
    row_deadline_s: float = 1.0
    global_deadline_s: float = 86_400.0
    max_quarantined: float = 0.01

    def __post_init__(self) -> None:
        deadlines = (self.deadline_s, self.global_deadline_s)
        if self.batch_rows < 1 or min(deadlines) <= 0 or self.row_deadline_s < 0 or not 0 <= self.max_quarantined <= 1:
            raise UsageError(
                f"got {self}; expected batch_rows of at least 1, deadline_s and global_deadline_s above 0, "
                "row_deadline_s of at least 0, and max_quarantined from 0 to 1"
            )


@dataclass(frozen=True, slots=True)
class LeakRules:
    """`[leaks]`: how leaks between the splits are looked for, and which are let pass.

    Attributes:
        near: cosine of two embeddings from which on a pair is a leak; None takes the `near` of the stage split.
        accepted: kind of leak -> validation samples that may have one; 0 of those that are not named.
        waived: ids of validation samples whose leaks somebody has looked at.
        canaries: for each pair of domains, by which the search is tried.
        seed: of the canaries.

    Raises:
        UsageError: a kind is unknown, or a number is out of range.
    """

    near: float | None = None
    accepted: dict[str, int] = field(default_factory=dict)
    waived: list[str] = field(default_factory=list)
    canaries: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if strangers := sorted(set(self.accepted) - set(KINDS)):
            raise UsageError(f"accepted has {strangers[0]!r}; expected {', '.join(KINDS)}")
        if self.near is not None and not 0 < self.near <= 1:
            raise UsageError(f"near is {self.near}; expected above 0 and at most 1")
        if self.canaries < 1 or self.seed < 0 or min(self.accepted.values(), default=0) < 0:
            raise UsageError(f"got {self}; expected at least 1 canary, and a seed and numbers accepted from 0 on")


@dataclass(frozen=True, slots=True)
class Stage:
    """`[[stage]]`: its name in the folder of work, the operation, and the operation's options as plain values."""

    name: str
    use: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CurationRecipe:
    """A recipe whose options were all checked.

    Attributes:
        name: of what is made, in reports.
        work: folder of all that is made.
        pool: the raw rows.
        limits: what workers may take.
        stages: in order; each gets what the one before has kept.
        leaks: what `publish` lets pass.
    """

    name: str
    work: Path
    pool: PoolSource
    limits: RunLimits
    stages: tuple[Stage, ...]
    leaks: LeakRules = field(default_factory=LeakRules)

    @property
    def pool_path(self) -> Path:
        """The pool, absolute."""
        return Path(self.pool.path)


def read_recipe(path: Path) -> CurationRecipe:
    """Read and check a recipe.

    Raises:
        UsageError: there is no such file, it is no TOML, or something in it is wrong: a line for each mistake.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a recipe in TOML")
    with reading_file(path, "TOML"):
        raw = tomllib.loads(path.read_text("utf-8"))
    mistakes = _mistakes(raw)
    if mistakes:
        raise UsageError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    here = path.absolute().parent
    pool = PoolSource(**raw["pool"] | {"path": str(here / raw["pool"]["path"])})
    work = here / raw.get("work", f"{path.stem}-work")
    stages = tuple(_at(here, _stage(table)) for table in raw["stage"])
    limits, leaks = RunLimits(**raw.get("limits", {})), LeakRules(**raw.get("leaks", {}))
    return CurationRecipe(raw.get("name", path.stem), work, pool, limits, stages, leaks)


def cut_recipe(recipe: CurationRecipe, last: str) -> CurationRecipe:
    """The recipe up to a stage, in the same folder of work.

    Raises:
        UsageError: there is no such stage.
    """
    names = [_POOL_STAGE, *(stage.name for stage in recipe.stages)]
    if last not in names:
        raise UsageError(f"{recipe.name}: no stage {last!r}; it has {', '.join(names)}")
    return replace(recipe, stages=recipe.stages[: names.index(last)])


def _mistakes(raw: Mapping[str, Any]) -> list[str]:
    known = [one.name for one in fields(CurationRecipe) if one.name != "stages"] + ["stage"]
    mistakes = [f"unknown entry {name!r}; expected one of {', '.join(known)}" for name in raw if name not in known]
    for name in ("name", "work"):
        if not isinstance(raw.get(name, ""), str):
            mistakes.append(f"{name} is {raw[name]!r}; expected a string")
    for name, kind in (("pool", PoolSource), ("limits", RunLimits), ("leaks", LeakRules)):
        table = raw.get(name, {})
        if isinstance(table, dict):
            mistakes += check_options(kind, table, f"[{name}]")
        else:
            mistakes.append(f"{name} is {table!r}; expected a table [{name}]")
    tables = raw.get("stage")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        return [*mistakes, "has no stages; expected at least one table [[stage]]"]
    return mistakes + _stage_mistakes(tables)


def _stage_mistakes(tables: list[dict[str, Any]]) -> list[str]:
    mistakes, seen = [], {_POOL_STAGE}
    for i, table in enumerate(tables, 1):
        if not isinstance(table.get("use"), str) or not isinstance(table.get("name", ""), str):
            mistakes.append(f'stage {i}: expected use = "OPERATION" and, if any, name = "NAME"; got {table}')
            continue
        stage = _stage(table)
        place = f"stage {stage.name!r}"
        if stage.name in seen or not stage.name.replace("-", "_").isidentifier():
            mistakes.append(f"{place}: expected a name of letters, digits, - and _ that no other stage has")
        seen.add(stage.name)
        try:
            operation = load_operation(stage.use)
        except UsageError as error:
            mistakes.append(f"{place}: {error}")
        else:
            mistakes += check_options(operation.options, stage.options, place)
    return mistakes


def _stage(table: Mapping[str, Any]) -> Stage:
    options = {name: value for name, value in table.items() if name not in ("use", "name")}
    return Stage(table.get("name", table["use"].rpartition(":")[2].lower()), table["use"], options)


def _at(here: Path, stage: Stage) -> Stage:
    """A stage whose options that are paths are relative to the recipe no more."""
    hints = typing.get_type_hints(load_operation(stage.use).options)
    paths = {name: here / value for name, value in stage.options.items() if _is_path(hints[name])}
    return replace(stage, options={**stage.options, **paths})


def _is_path(hint: object) -> bool:
    return hint is Path or Path in typing.get_args(hint)
