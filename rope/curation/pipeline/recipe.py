"""A TOML file that says how a pool is processed.

name = "spring"

[pool]
path = "pool"                       # next to the recipe, or absolute
columns = { text = "title" }        # ours = theirs, where they differ

[[stage]]
use = "decode"

[[stage]]
use = "filter"
minimum = 0.25
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from rope.addresses import is_address
from rope.config import (
    Count,
    Fraction,
    NonNegative,
    NumberRange,
    Positive,
    PositiveFraction,
    Seed,
    check_options,
    check_record,
    make_record,
)
from rope.curation.pipeline.operation import BUILT_IN, load_operation
from rope.curation.pipeline.places import place_of
from rope.documents import read_document
from rope.errors import UsageError
from rope.files import AnyPath

__all__ = [
    "CurationRecipe",
    "LeakKind",
    "LeakRules",
    "PoolSource",
    "RunLimits",
    "Stage",
    "cut_recipe",
    "read_recipe",
    "stages_of",
]

_POOL_STAGE: Final = "pool"

LeakKind = Literal["near", "media", "session", "title"]
"""What samples of two splits may share; see `rope.curation.splitting.leak_audit`."""


@dataclass(frozen=True, slots=True)
class PoolSource:
    """`[pool]`: where the raw rows come from.

    Attributes:
        path: see `rope.curation.pipeline.pool.open_pool`.
        shard_rows: rows of a shard: what is lost and done again when a worker dies.
        columns: our name of a column -> the pool's, where they differ.
        keep: other columns that go on with the rows, such as brand and price.

    Raises:
        UsageError: a number is below 1.
    """

    path: str
    shard_rows: Count = 2000
    columns: dict[str, str] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_record(self)


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

    batch_rows: Count = 64
    deadline_s: Positive = 120.0
    row_deadline_s: NonNegative = 1.0
    global_deadline_s: Positive = 86_400.0
    max_quarantined: Fraction = 0.01

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class LeakRules:
    """`[leaks]`: how leaks between the splits are looked for, and which are let pass.

    Attributes:
        near: cosine of two embeddings from which on a pair is a leak; None takes the `near` of the stage split.
        column: the vectors that are compared; empty takes the `column` of the stage split.
        search: for near pairs: `exact`, `ivf` (an index) or `auto`, as in the stage split.
        accepted: kind of leak -> validation samples that may have one; 0 of those that are not named.
        waived: ids of validation samples whose leaks somebody has looked at.
        canaries: for each pair of domains, by which the search is tried.
        seed: of the canaries.

    Raises:
        UsageError: a kind is unknown, or a number is out of range.
    """

    near: PositiveFraction | None = None
    column: str = ""
    search: Literal["auto", "exact", "ivf"] = "auto"
    accepted: dict[LeakKind, Annotated[int, NumberRange(0)]] = field(default_factory=dict)
    waived: list[str] = field(default_factory=list)
    canaries: Count = 200
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_record(self)


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
        previous: the folder of work of an earlier run whose decisions stay and whose shards are reused; None for none.
    """

    name: str
    work: AnyPath
    pool: PoolSource
    limits: RunLimits
    stages: tuple[Stage, ...]
    leaks: LeakRules = field(default_factory=LeakRules)
    previous: "AnyPath | None" = None

    @property
    def pool_path(self) -> AnyPath:
        """The pool, absolute."""
        return place_of(self.pool.path, Path())


@dataclass(frozen=True, slots=True)
class _Document:
    """A recipe as it is written."""

    pool: PoolSource
    stage: list[dict[str, Any]]
    name: str = ""
    work: str = ""
    previous: str = ""
    limits: RunLimits = field(default_factory=RunLimits)
    leaks: LeakRules = field(default_factory=LeakRules)


def read_recipe(path: Path) -> CurationRecipe:
    """Read and check a recipe.

    Raises:
        UsageError: the file does not exist, it is not TOML, or something in it is wrong: a line for each mistake.
    """
    values = read_document(path, "TOML", "a recipe")
    stages = values.get("stage")
    mistakes = check_options(_Document, values, str(path))
    mistakes += [f"{path}: {mistake}" for mistake in _stage_mistakes(stages if isinstance(stages, list) else [])]
    if mistakes:
        raise UsageError("\n".join(mistakes))
    written, here = make_record(_Document, values, str(path)), path.absolute().parent
    work = place_of(written.work or f"{path.stem}-work", here, is_written=True)
    previous = place_of(written.previous, here) if written.previous else None
    if previous is not None and _absolute(previous) == _absolute(work):
        raise UsageError(
            f"{path}: previous is {written.previous}, the folder of work of this recipe too; keep that of the earlier "
            "run, and name another with work"
        )
    return CurationRecipe(
        name=written.name or path.stem,
        work=work,
        pool=replace(written.pool, path=str(place_of(written.pool.path, here))),
        limits=written.limits,
        stages=tuple(_at(here, _stage(table)) for table in written.stage),
        leaks=written.leaks,
        previous=previous,
    )


def cut_recipe(recipe: CurationRecipe, last: str) -> CurationRecipe:
    """The recipe up to a stage, in the same folder of work.

    Raises:
        UsageError: the stage is unknown.
    """
    names = [_POOL_STAGE, *(stage.name for stage in recipe.stages)]
    if last not in names:
        raise UsageError(f"{recipe.name}: no stage {last!r}; it has {', '.join(names)}")
    return replace(recipe, stages=recipe.stages[: names.index(last)])


def stages_of(recipe: CurationRecipe, operation: str) -> list[Stage]:
    """The stages of a recipe with a built-in operation, in their order."""
    return [stage for stage in recipe.stages if BUILT_IN.get(stage.use, stage.use) == BUILT_IN[operation]]


def _stage_mistakes(tables: list[Any]) -> list[str]:
    mistakes, seen = [], {_POOL_STAGE}
    if not tables:
        return ["has no stages; expected at least one table [[stage]]"]
    for i, table in enumerate(tables, 1):
        if not isinstance(table, dict):
            continue  # told by the keys of the recipe
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
            hints = typing.get_type_hints(operation.options)
            mistakes += [
                f"{place}: {name} is {value}; expected a file or folder on this machine"
                for name, value in stage.options.items()
                if isinstance(value, str) and is_address(value) and _is_path(hints.get(name))
            ]
    return mistakes


def _absolute(place: AnyPath) -> AnyPath:
    return place.resolve() if isinstance(place, Path) else place


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
