"""What a LEARN model and its training consist of: two frozen records, checked at birth and saved as JSON."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from rope.errors import UsageError

__all__ = ["ItemTower", "LearnConfig", "LearnRecipe", "Objective", "read_recipe", "recipe_text"]

ItemTower = Literal["alone", "causal", "projection"]
Objective = Literal["in_batch", "dense", "full_gallery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnConfig:
    """The sizes of a model; the defaults are those of the authors' scripts for the Amazon reviews.

    Attributes:
        input_dim: dimension of the content embeddings.
        output_dim: dimension of the vectors of users and items.
        width: of the transformer.
        heads: attention heads.
        mlp_width: hidden width of the feed-forward layers.
        layers: of the transformer.
        dropout: of the transformer, during training.
        item_tower: what an item goes through. `alone` (the release): all that a history goes through, as a history of
            this one item. `causal`: the items that a user takes after the history form a sequence, in which each
            sees those before it; in use, an item is alone. `projection`: adaptor and projection, no transformer.

    Raises:
        UsageError: a size is not positive, the width is no multiple of the heads, or a choice is unknown.
    """

    input_dim: int = 4096
    output_dim: int = 4096
    width: int = 768
    heads: int = 12
    mlp_width: int = 3072
    layers: int = 4
    dropout: float = 0.1
    item_tower: ItemTower = "alone"

    def __post_init__(self) -> None:
        for name in ("input_dim", "output_dim", "width", "heads", "mlp_width", "layers"):
            _require(type(getattr(self, name)) is int and getattr(self, name) >= 1, self, name)
        _require(0 <= self.dropout < 1, self, "dropout")
        _require(self.item_tower in get_args(ItemTower), self, "item_tower")
        if self.width % self.heads:
            raise UsageError(f"width {self.width} is no multiple of heads, {self.heads}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnRecipe:
    """One run of training.

    The defaults are the authors' for fine-tuning; their pre-training has objective `in_batch`, rate 6e-5, batches of
    1024 on each of 4 processors and 30 epochs.

    Attributes:
        model: its sizes.
        objective: `in_batch`: the last place of a history against one item of each user of the batch. `dense`: several
            places of a history against several later items, all pairs (the paper's dense all-action loss).
            `full_gallery`: the last place against every item, all of them encoded at every step.
        seed: of the first weights, of dropout and of all draws.
        epochs: passes over the users.
        batch_size: users of a step, on each processor.
        max_history: latest items of a history that are looked at.
        places: of `dense`: places of the history that are drawn.
        actions: of `dense`: later items that are drawn.
        learning_rate: the highest, of AdamW.
        warmup_epochs: in which the rate rises from 0; it falls as a cosine after.
        scale: that cosines are multiplied by.
        mask_history: of `full_gallery`: leave what the history holds out of the items to choose from.
        save_steps: steps from one saved state to the next.

    Raises:
        UsageError: a number is out of range, or a field has no use with the objective.
    """

    model: LearnConfig = field(default_factory=LearnConfig)
    objective: Objective = "full_gallery"
    seed: int
    epochs: int = 200
    batch_size: int = 64
    max_history: int = 40
    places: int = 10
    actions: int = 10
    learning_rate: float = 2e-5
    warmup_epochs: float = 1.0
    scale: float = 20.0
    mask_history: bool = False
    save_steps: int = 500

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "max_history", "places", "actions", "save_steps"):
            _require(type(getattr(self, name)) is int and getattr(self, name) >= 1, self, name)
        _require(self.seed >= 0, self, "seed")
        _require(self.objective in get_args(Objective), self, "objective")
        _require(self.learning_rate > 0, self, "learning_rate")
        _require(0 <= self.warmup_epochs <= self.epochs, self, "warmup_epochs")
        _require(self.scale > 0, self, "scale")
        if self.mask_history and self.objective != "full_gallery":
            raise UsageError("mask_history: is of the objective full_gallery alone")
        if self.model.item_tower == "causal" and self.objective != "dense":
            raise UsageError("item_tower causal: needs the objective dense, which alone has several items of a user")


def recipe_text(recipe: LearnRecipe) -> str:
    """The recipe as indented JSON with a newline at the end.

    >>> read_recipe(recipe_text(LearnRecipe(seed=3)), "here") == LearnRecipe(seed=3)
    True
    """
    return json.dumps(asdict(recipe), indent=2) + "\n"


def read_recipe(text: str, where: str) -> LearnRecipe:
    """A recipe from JSON; a field that is not there has its default, but for the seed.

    Args:
        text: the JSON.
        where: the file, for error texts.

    Raises:
        UsageError: the text is no JSON object, or a field is unknown, missing or out of range.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}:{error.lineno}: no JSON: {error.msg}") from error
    values = _known(values, LearnRecipe, where)
    if "seed" not in values:
        raise UsageError(f'{where}: no seed; say which numbers to draw, as in "seed": 0')
    model = LearnConfig(**_known(values.pop("model", {}), LearnConfig, f"{where}: model"))
    try:
        return LearnRecipe(model=model, **values)
    except TypeError as error:
        raise UsageError(f"{where}: a field is of the wrong type: {error}") from error


def _known(values: Any, record: type, where: str) -> dict[str, Any]:  # noqa: ANN401 (whatever JSON holds)
    if not isinstance(values, dict):
        raise UsageError(f"{where}: expected a JSON object, got {type(values).__name__}")
    if unknown := sorted(values.keys() - {one.name for one in fields(record)}):
        raise UsageError(f"{where}: unknown field {unknown[0]!r}; see baselines/learn/config.py")
    return dict(values)


def _require(is_right: bool, record: LearnConfig | LearnRecipe, name: str) -> None:
    if not is_right:
        raise UsageError(f"{name}: {getattr(record, name)!r} is out of range")
