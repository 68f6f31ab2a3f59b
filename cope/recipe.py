"""What a training run is made of: one YAML file with every number of it, or a preset by name."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from cope.config import CopeConfig, LossConfig
from rope.domain import DOMAINS
from rope.errors import UsageError
from rope.files import reading_file

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
    """A training run, but for the dataset; the defaults are those of the paper.

    Attributes:
        model: sizes.
        loss: the objective.
        vision_weights: an X-CLIP on the Hub or in a folder that the visual tower begins with; None begins at random.
        text_weights: a BERT on the Hub or in a folder that the text tower begins with; None begins at random.
        heads: `random` draws the projections of each domain by themselves, as published; `aligned` begins them alike,
            on frozen towers, see `cope.aligned_start`.
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
        spike_factor: training stops when a loss is so many times the median of the last 100 steps; None goes on.
        precision: `bf16` for mixed precision on hardware that has it.
        activation_checkpointing: encode again instead of keeping what the backward pass needs.
        compile: have torch compile the visual tower.
        eval_epochs: epochs between scores on the validation split; 0 scores at the end alone.
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
    max_tokens: int = 32
    use_text: bool = True
    sampling: Sampling = "balanced"
    crop: float = 0.64
    flip: float = 0.5
    jitter: float = 0.0
    epochs: int = 80
    batch_size: int = 84
    micro_batch: int | None = None
    lr_text: float = 5e-5
    lr_vision: float = 5e-7
    lr_head: float = 5e-3
    weight_decay: float = 0.01
    warmup_epochs: float = 2
    clip_norm: float | None = 5.0
    spike_factor: float | None = 5.0
    precision: Precision = "float32"
    activation_checkpointing: bool = False
    compile: bool = False
    eval_epochs: int = 5
    save_steps: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "max_tokens": self.max_tokens >= 3,
            "crop": 0 < self.crop <= 1,
            "flip": 0 <= self.flip <= 1,
            "jitter": 0 <= self.jitter < 1,
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 2,
            "micro_batch": self.micro_batch is None or self.micro_batch >= 1,
            "lr_text": self.lr_text >= 0,
            "lr_vision": self.lr_vision >= 0,
            "lr_head": self.lr_head >= 0,
            "weight_decay": self.weight_decay >= 0,
            "warmup_epochs": self.warmup_epochs >= 0,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "spike_factor": self.spike_factor is None or self.spike_factor > 1,
            "precision": self.precision in get_args(Precision),
            "sampling": self.sampling in get_args(Sampling),
            "eval_epochs": self.eval_epochs >= 0,
            "save_steps": self.save_steps >= 1,
            "seed": self.seed >= 0,
            "heads": self.heads in ("random", "aligned"),
        }
        for name, inside in ranges.items():
            if not inside:
                raise UsageError(f"{name}: {getattr(self, name)!r} is out of range; see `cope.recipe.TrainingRecipe`")
        for tower, weights in (("vision", self.vision_weights), ("text", self.text_weights)):
            if getattr(self.model, tower) is not None and weights is not None:
                raise UsageError(
                    f"{tower}_weights: model.{tower} is a pretrained model with weights of its own; set "
                    f"{tower}_weights to null, or leave out model.{tower}"
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
                    f"has {', '.join(self.model.text_domains)} alone; give it all three, or set the weight to 0"
                )

    @property
    def augments(self) -> bool:
        """Whether images are changed at random while training."""
        return self.crop < 1 or self.flip > 0 or self.jitter > 0


def read_recipe(source: str) -> TrainingRecipe:
    """A preset by name, or a YAML file.

    A file may begin with `base: NAME`, a preset or a file beside it, and then says only what differs from that.

    >>> read_recipe("paper").batch_size
    84

    Raises:
        UsageError: there is no such preset or file, it is no YAML, or has a field that is unknown or of another type.
    """
    recipe: TrainingRecipe = _record(TrainingRecipe, _read(source, None, ()), source)
    return recipe


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
    if not path.is_file():
        raise UsageError(f"{source}: no such file, and no preset; presets are {', '.join(PRESETS)}")
    if str(path) in chain:
        raise UsageError(f"{path}: is based on itself, by way of {' and '.join(chain)}")
    with reading_file(path, "YAML"):
        values = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected fields of a recipe, such as `epochs: 80`, got {type(values).__name__}")
    base = values.pop("base", None)
    return values if base is None else _merged(_read(str(base), path.parent, (*chain, str(path))), values)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`; mappings are merged, everything else is replaced."""
    both = {
        name: _merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in changes.items()
    }
    return {**base, **both}


def _record(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401  an instance of `cls`
    """A frozen record of `cls` from plain values, whose types are checked."""
    types, known = get_type_hints(cls), {option.name: option for option in fields(cls)}
    if unknown := sorted(values.keys() - known.keys()):
        raise UsageError(f"{where}: unknown field {unknown[0]!r}; expected some of {', '.join(known)}")
    checked = {name: _value(types[name], value, f"{where}: {name}") for name, value in values.items()}
    missing = [
        n for n, f in known.items() if n not in checked and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise UsageError(f"{where}: {missing[0]} is missing")
    return cls(**checked)


def _value(expected: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if is_dataclass(expected) and isinstance(value, dict):
        return _record(expected, value, where)  # type: ignore[arg-type]  # a class, not an instance
    if get_origin(expected) in (Union, UnionType):
        choices = get_args(expected)
        if value is None and type(None) in choices:
            return None
        return _value(next(choice for choice in choices if choice is not type(None)), value, where)
    if get_origin(expected) is dict and isinstance(value, dict):
        return value
    if get_origin(expected) is tuple and isinstance(value, list | tuple):
        return tuple(_value(get_args(expected)[0], item, where) for item in value)
    if get_origin(expected) is Literal:
        if value in get_args(expected):
            return value
        raise UsageError(f"{where}: expected one of {', '.join(get_args(expected))}, got {value!r}")
    if expected is float and type(value) is int:
        return float(value)
    if expected is float and isinstance(value, str) and _is_number(value):
        return float(value)  # YAML 1.1 takes 5e-5 for a text
    if type(value) is not expected:
        raise UsageError(f"{where}: expected {getattr(expected, '__name__', expected)}, got {value!r}")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
