"""The configuration of a LEARN model and of its training: two frozen records, checked when made, saved as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from rope.config import Count, NonNegative, NumberRange, Positive, Seed, check_record, make_record
from rope.documents import parse_document, read_document
from rope.errors import UsageError

__all__ = ["ItemTower", "LearnConfig", "LearnRecipe", "Objective", "load_recipe", "read_recipe", "recipe_text"]

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
        UsageError: a size is not positive, the width is not a multiple of the heads, or a choice is unknown.
    """

    input_dim: Count = 4096
    output_dim: Count = 4096
    width: Count = 768
    heads: Count = 12
    mlp_width: Count = 3072
    layers: Count = 4
    dropout: Annotated[float, NumberRange(0, below=1)] = 0.1
    item_tower: ItemTower = "alone"

    def __post_init__(self) -> None:
        check_record(self)
        if self.width % self.heads:
            raise UsageError(f"width {self.width} is not a multiple of heads, {self.heads}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnRecipe:
    """The settings of one LEARN training run, as JSON on disk; defaults are those of the release.

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
    seed: Seed
    epochs: Count = 200
    batch_size: Count = 64
    max_history: Count = 40
    places: Count = 10
    actions: Count = 10
    learning_rate: Positive = 2e-5
    warmup_epochs: NonNegative = 1.0
    scale: Positive = 20.0
    mask_history: bool = False
    save_steps: Count = 500

    def __post_init__(self) -> None:
        check_record(self)
        if self.warmup_epochs > self.epochs:
            raise UsageError(f"warmup_epochs is {self.warmup_epochs:g}; expected at most epochs, {self.epochs}")
        if self.mask_history and self.objective != "full_gallery":
            raise UsageError("mask_history: applies only to the objective full_gallery")
        if self.model.item_tower == "causal" and self.objective != "dense":
            raise UsageError(
                "item_tower causal: needs the objective dense, the only one that has several items of a user"
            )


def recipe_text(recipe: LearnRecipe) -> str:
    """The recipe as indented JSON with a newline at the end.

    >>> read_recipe(recipe_text(LearnRecipe(seed=3)), "here") == LearnRecipe(seed=3)
    True
    """
    return json.dumps(asdict(recipe), indent=2) + "\n"


def load_recipe(path: Path) -> LearnRecipe:
    """The recipe in a file.

    Raises:
        UsageError: the file does not exist, or as `read_recipe`.
    """
    return make_record(LearnRecipe, read_document(path, "JSON", "a recipe"), str(path))


def read_recipe(text: str, where: str) -> LearnRecipe:
    """A recipe from JSON; a field that is not there has its default, except for the seed.

    Args:
        text: the JSON.
        where: the file, for error texts.

    Raises:
        UsageError: the text is not a JSON object, or a field is unknown, missing or out of range.
    """
    return make_record(LearnRecipe, parse_document(text, "JSON", where), where)
