"""Training recipes: a YAML file with every setting of a run, or a named preset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml

from cope.config import CopeConfig, LossConfig
from rope.config import (
    Count,
    Fraction,
    NonNegative,
    NumberRange,
    Positive,
    PositiveFraction,
    Seed,
    check_record,
    make_record,
)
from rope.documents import read_document
from rope.domain import DOMAINS
from rope.errors import UsageError

__all__ = ["PRESETS", "RECIPE_NAME", "Sampling", "TrainingRecipe", "preset_purpose", "read_recipe", "recipe_text"]

_PRESET_FOLDER: Final = Path(__file__).parent / "presets"
PRESETS: Final = tuple(sorted(path.stem for path in _PRESET_FOLDER.glob("*.yaml")))
"""Names of the recipes that come with the package."""

RECIPE_NAME: Final = "recipe.yaml"
"""The whole recipe of a run, beside its weights."""

Precision = Literal["float32", "bf16"]
Sampling = Literal["balanced", "proportional", "category_balanced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """A training run, except for the dataset; the defaults are those of the paper.

    Attributes:
        model: sizes.
        loss: the objective.
        vision_weights: an X-CLIP on the Hub or in a folder that the visual tower begins with; None begins at random.
        text_weights: a BERT on the Hub or in a folder that the text tower begins with; None begins at random.
        heads: `random` draws the projections of each domain by themselves, as published; `aligned` begins them alike,
            on frozen towers or on COPE's own, see `cope.aligned_start`.
        tokenizer: a BERT tokenizer on the Hub or in a folder; None takes that of `model.text`, or else
            makes one of the characters of the training texts.
        max_tokens: longest text, in tokens.
        use_text: whether texts are read; without, every sample has the empty text.
        sampling: `balanced` visits every product once an epoch; `proportional` draws as many products, each as often
            as its samples are many; `category_balanced` draws each category as often as any other, and its products
            alike.
        crop: smallest share of the image's area that an augmenting crop keeps; 1 crops nothing.
        flip: probability that a sample is mirrored.
        jitter: largest change of brightness, contrast and saturation, as a share; 0 changes nothing.
        epochs: passes over the products.
        batch_size: products a step, of all processes together.
        micro_batch: products that are encoded at a time, or None for all of a process. The contrastive batch stays
            whole: embeddings are made without gradients first, then again in parts (Gao et al., 2021: cached
            gradients).
        lr_text: learning rate of the text tower.
        lr_vision: learning rate of the visual tower.
        lr_head: learning rate of projections, fusion and class centres.
        weight_decay: of AdamW, for all weights.
        warmup_epochs: epochs in which the rates rise from 0, before they fall as a cosine to 0.
        clip_norm: largest norm of the gradient of the model, class centres apart; None clips nothing.
        spike_factor: training stops when a loss exceeds the median of the last 100 steps by this factor; None: never.
        precision: `bf16` for mixed precision on hardware that has it.
        activation_checkpointing: encode again instead of keeping what the backward pass needs.
        compile: have torch compile the visual tower.
        keep_frames: decode each training sample once, into the folder of the run, instead of at every visit: for
            small images, which take a few kilobytes a frame. Only affects the time.
        eval_epochs: epochs between scores on the validation split; 0 scores only at the end.
        save_steps: steps between saved states; a state is also saved at the end of every epoch.
        seed: of weights, order and augmentation.

    Raises:
        UsageError: a number is out of range.
    """

    model: CopeConfig = field(default_factory=CopeConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    vision_weights: str | None = "microsoft/xclip-base-patch16-kinetics-600"
    text_weights: str | None = "hfl/rbt3"
    heads: Literal["random", "aligned"] = "random"
    tokenizer: str | None = "hfl/rbt3"
    max_tokens: Annotated[int, NumberRange(3)] = 32
    use_text: bool = True
    sampling: Sampling = "balanced"
    crop: PositiveFraction = 0.64
    flip: Fraction = 0.5
    jitter: Annotated[float, NumberRange(0, below=1)] = 0.0
    epochs: Count = 80
    batch_size: Annotated[int, NumberRange(2)] = 84
    micro_batch: Count | None = None
    lr_text: NonNegative = 5e-5
    lr_vision: NonNegative = 5e-7
    lr_head: NonNegative = 5e-3
    weight_decay: NonNegative = 0.01
    warmup_epochs: NonNegative = 2
    clip_norm: Positive | None = 5.0
    spike_factor: Annotated[float, NumberRange(above=1)] | None = 5.0
    precision: Precision = "float32"
    activation_checkpointing: bool = False
    compile: bool = False
    keep_frames: bool = False
    eval_epochs: Annotated[int, NumberRange(0)] = 5
    save_steps: Count = 1000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_record(self)
        for tower, weights in (("vision", self.vision_weights), ("text", self.text_weights)):
            if getattr(self.model, tower) is not None and weights is not None:
                raise UsageError(
                    f"{tower}_weights: model.{tower} is a pretrained model with weights of its own; set "
                    f"{tower}_weights to null, or leave out model.{tower}"
                )
        if self.model.convolutions is not None and (self.vision_weights is not None or self.activation_checkpointing):
            raise UsageError(
                "model.convolutions begins at random and is too small to checkpoint: set vision_weights to null and "
                "activation_checkpointing to false"
            )
        if self.keep_frames and self.model.vision is not None:
            raise UsageError(
                "keep_frames: keeps what COPE's own towers read, and model.vision prepares its own; set false"
            )
        if self.sampling == "balanced" and (self.loss.logit_adjustment or self.loss.class_balance):
            raise UsageError(
                "loss.logit_adjustment and loss.class_balance make up for products that are visited more often than "
                "others, but sampling is balanced: choose `sampling: proportional`, or set them to 0"
            )
        for name, weight in asdict(self.loss.alignment).items():
            domains = {word for word in name.split("_") if word in DOMAINS}
            if weight and not domains <= set(self.model.text_domains):
                raise UsageError(
                    f"loss.alignment.{name}: compares views of {' and '.join(sorted(domains))}, but model.text_domains "
                    f"has {', '.join(self.model.text_domains)} only; give it all three, or set the weight to 0"
                )

    @property
    def augments(self) -> bool:
        """Whether images are changed at random while training."""
        return self.crop < 1 or self.flip > 0 or self.jitter > 0


def read_recipe(source: str) -> TrainingRecipe:
    """A preset by name, or a YAML file.

    A file may begin with `base: NAME`, a preset or a file next to it, and then says only what differs from that.

    >>> read_recipe("paper").batch_size
    84

    Raises:
        UsageError: the preset or file does not exist, is not YAML, or has a field that is unknown or of another type.
    """
    return make_record(TrainingRecipe, _read(source, None, ()), source)


def recipe_text(recipe: TrainingRecipe) -> str:
    """A recipe as YAML, with every field; `read_recipe` reads it back."""
    text: str = yaml.safe_dump(asdict(recipe), sort_keys=False, allow_unicode=True)
    return text


def preset_purpose(name: str) -> str:
    """What a preset is for: the first sentence of its comment.

    >>> preset_purpose("paper_no_text")
    'Without titles.'
    """
    lines = (_PRESET_FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    return f"{comment.partition('. ')[0].removesuffix('.')}."


def _read(source: str, beside: Path | None, chain: tuple[str, ...]) -> dict[str, Any]:
    path = _PRESET_FOLDER / f"{source}.yaml" if source in PRESETS else (beside or Path()) / source
    if path.is_dir():
        raise UsageError(f"{source}: is a folder; expected a recipe in YAML")
    if not path.is_file():
        raise UsageError(f"{source}: neither a file nor a preset; presets are {', '.join(PRESETS)}")
    if str(path) in chain:
        raise UsageError(f"{path}: is based on itself, by way of {' and '.join(chain)}")
    values = read_document(path, "YAML", "a recipe")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise UsageError(f"{path}: base is {base!r}; expected the name of a preset or a file")
    return _merged(_read(base, path.parent, (*chain, str(path))), values)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`; mappings are merged, everything else is replaced."""
    both = {
        name: _merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in changes.items()
    }
    return {**base, **both}
