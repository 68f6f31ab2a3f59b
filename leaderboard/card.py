"""Model cards: what the author of a model says of it, in YAML."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from leaderboard.schema import check, read_small
from leaderboard.strict_yaml import parse_yaml
from leaderboard.text import check_texts
from rope.domain import DomainName, in_order
from rope.errors import RopeError
from rope.files import check_file

__all__ = ["Card", "TrainingRun", "card_of", "check_modalities", "read_card"]

_MAX_BYTES: Final = 64 << 10
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One of several runs of a recipe, which the board shows as one row.

    Attributes:
        of: what the runs have in common: the id of their row.
        seed: of this run.
    """

    of: str
    seed: int


@dataclass(frozen=True, slots=True)
class Card:
    """A model, as its author describes it; None where something is unknown or not published.

    Attributes:
        id: short name in lower case, the folder and address of the model's page.
        name: what the board calls it.
        version: of the weights.
        paper: address.
        code: address.
        weights: address.
        licence: of the weights.
        parameters: number of parameters used to embed.
        modalities: what the model looks at in each domain that it is for: image, text, audio.
        training_data: what it was trained on, all stages.
        contact: an address for questions.
        command: what makes the embeddings.
        run: which of several training runs it is; None for a model that stands alone.
        follows: id of the row that is the version before this one; None for the first, or where nobody says.
    """

    id: str
    name: str
    version: str
    paper: str | None
    code: str | None
    weights: str | None
    licence: str | None
    parameters: int | None
    modalities: Mapping[DomainName, tuple[str, ...]]
    training_data: tuple[str, ...]
    contact: str | None
    command: str | None
    run: TrainingRun | None = None
    follows: str | None = None

    @property
    def row(self) -> str:
        """The id of its row, which it may share with other runs."""
        return self.id if self.run is None else self.run.of

    @property
    def all_modalities(self) -> tuple[str, ...]:
        """Every modality that the model uses in some domain, in the order image, text, audio; the board's page asks."""
        used = {modality for of_domain in self.modalities.values() for modality in of_domain}
        return tuple(modality for modality in ("image", "text", "audio") if modality in used)


def card_of(raw: Mapping[str, Any], where: str) -> Card:
    """The card in an object that was parsed.

    Raises:
        RopeError: it does not fit `schemas/card.schema.json`, or a text hides something; begins with `where`.
    """
    check(raw, "card", where)
    check_texts(raw, where)
    modalities = {domain: tuple(raw["modalities"][domain]) for domain in in_order(raw["modalities"])}
    run = None if raw.get("run") is None else TrainingRun(**raw["run"])
    if run is not None and run.of == raw["id"]:
        raise RopeError(f"{where}: run.of is {run.of!r}, the card's own id; the runs together need another id")
    if raw.get("follows") in {raw["id"], run and run.of} - {None}:
        raise RopeError(f"{where}: follows is {raw['follows']!r}, the card's own row; name the version before it")
    return Card(**{**raw, "modalities": modalities, "training_data": tuple(raw["training_data"]), "run": run})


def check_modalities(card: Card, domains: Sequence[DomainName], where: str) -> None:
    """Whether a card says what its model looks at in each domain of a dataset.

    Raises:
        RopeError: it does not; begins with `where`.
    """
    if silent := [domain for domain in domains if domain not in card.modalities]:
        raise RopeError(
            f"{where}: the card's modalities say nothing of {' and '.join(silent)}; the dataset has the domains "
            f"{', '.join(domains)}, so add e.g. '{silent[0]}: [image]'"
        )


def read_card(path: Path) -> dict[str, Any]:
    """The object in a card, checked; `card_of` makes a `Card` of it.

    Raises:
        UsageError: the file does not exist, or PyYAML is not installed.
        RopeError: it is larger than 64 KiB, not the YAML of `leaderboard.strict_yaml`, or does not fit the schema.
    """
    check_file(path, "a model card, described in docs/leaderboard.md")
    raw = parse_yaml(read_small(path, _MAX_BYTES), str(path))
    if not isinstance(raw, dict):
        raise RopeError(f"{path}: expected a mapping at the top, such as 'id: my-model'")
    if _INTEGER.fullmatch(parameters := str(raw.get("parameters"))):
        raw["parameters"] = int(parameters)
    run = raw.get("run")
    if isinstance(run, dict) and _INTEGER.fullmatch(seed := str(run.get("seed"))):
        run["seed"] = int(seed)
    card_of(raw, str(path))
    return raw
