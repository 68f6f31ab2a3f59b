"""The configuration of a COPE model and of its training objective: frozen records, saved as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, Literal

from rope.config import Count, NonNegative, NumberRange, Positive, PositiveFraction, check_record, make_record
from rope.documents import parse_document
from rope.domain import DOMAINS, Domain
from rope.errors import UsageError

__all__ = [
    "GROUP_COUNT",
    "RELEASED_VALUE_CAP",
    "AlignmentWeights",
    "BackboneConfig",
    "ContrastiveWeights",
    "CopeConfig",
    "LossConfig",
]

RELEASED_VALUE_CAP: Final = 69.07755278982137
"""-log(1e-30): the largest classification loss of one sample that the released code reports."""

_HEAD_DIM: Final = 64
"""Width of one attention head in the visual tower, as in CLIP and X-CLIP."""

GROUP_COUNT: Final = 8
"""Groups of channels that a convolutional tower normalises together."""


Tuning = Literal["frozen", "lora", "trained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneConfig:
    """A pretrained model of transformers instead of a tower.

    Attributes:
        backbone: its name on the Hub, or its folder.
        tuning: `frozen` keeps its weights; `lora` trains low-rank additions to its linear layers (Hu et al., 2021);
            `trained` trains all of them.
        lora_rank: rank of those additions; their scale is 2.
        tokens: which vector is taken of a model that gives several: `pooler`, its own pooled output; `cls`, the state
            of the first token; `mean`, the mean of all. None takes the features of a model that has both towers; else
            the pooled output of an image model, and the mean of a text model.
        frames: how the frames of a clip become one feature: COPE's multi-frame `transformer`, or their `mean`.
        prefix: what is put before every text, such as `query: ` for E5.
        architecture: configurations of the model and its image processor, as they were when the weights were loaded; a
            saved model has them, so that it needs nothing else. None loads `backbone`.

    Raises:
        UsageError: a value is none of those that it can have.
    """

    backbone: str
    tuning: Tuning = "frozen"
    lora_rank: Count = 16
    tokens: Literal["pooler", "cls", "mean"] | None = None
    frames: Literal["transformer", "mean"] = "transformer"
    prefix: str = ""
    architecture: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_record(self)
        if not self.backbone:
            raise UsageError("backbone: expected a name on the Hub or a folder, got nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopeConfig:
    """The sizes of a model; the defaults are those of the published one.

    Attributes:
        embedding_dim: dimension of the embeddings that products are compared by.
        num_frames: frames of a video or live clip; a page always has one.
        image_size: side of the square images, in pixels.
        patch_size: side of a patch, in pixels.
        vision_width: width of the visual tower's blocks; its heads are 64 wide.
        vision_layers: cross-frame blocks of the visual tower.
        feature_dim: width of a frame's feature and of a clip's; heads of 64.
        mit_layers: blocks that integrate the frames: 1 in X-CLIP, 4 in the released code.
        text_layers: 3 in the published model (RoBERTa `rbt3`), 6 in the released code (`rbt6`).
        text_width: width of the text tower.
        text_heads: attention heads of the text tower.
        text_mlp_width: hidden width of the text tower's feed-forward layers.
        text_positions: the longest text the tower has positions for, in tokens.
        text_token_types: token types of the text tower; only the first is used.
        text_dropout: dropout of the text tower during training.
        vocabulary: number of tokens.
        text_domains: the domains whose text is read: only the page (COPE), or all three (AMPere).
        convolutions: channels of the 3 x 3 convolutions of stride 2 that make up a small visual tower, for training
            from nothing; `image_size`, `num_frames` and `feature_dim` still count. None is the published tower.
        vision: a pretrained image or video model as the visual tower, which then says how images are prepared;
            `feature_dim`, `num_frames` and `mit_layers` still count. None is the published tower.
        text: a pretrained text model as the text tower; None is the published one.

    Raises:
        UsageError: a size is not positive, or does not divide another as it must, or `text_domains` is something else.

    >>> CopeConfig().embedding_dim, CopeConfig().n_patches
    (128, 196)
    """

    embedding_dim: Count = 128
    num_frames: Count = 8
    image_size: Count = 224
    patch_size: Count = 16
    vision_width: Count = 768
    vision_layers: Count = 12
    feature_dim: Count = 512
    mit_layers: Count = 1
    text_layers: Count = 3
    text_width: Count = 768
    text_heads: Count = 12
    text_mlp_width: Count = 3072
    text_positions: Count = 512
    text_token_types: Count = 2
    text_dropout: Annotated[float, NumberRange(0, below=1)] = 0.1
    vocabulary: Count = 21128
    text_domains: tuple[Domain, ...] = ("page",)
    convolutions: tuple[Count, ...] | None = None
    vision: BackboneConfig | None = None
    text: BackboneConfig | None = None

    def __post_init__(self) -> None:
        check_record(self)
        for name, divisor_name, divisor in (
            ("image_size", "patch_size", self.patch_size),
            ("vision_width", "the width of a head", _HEAD_DIM),
            ("feature_dim", "the width of a head", _HEAD_DIM),
            ("text_width", "text_heads", self.text_heads),
        ):
            if getattr(self, name) % divisor:
                raise UsageError(f"{name} {getattr(self, name)} is not a multiple of {divisor_name}, {divisor}")
        if self.convolutions is not None:
            self._check_convolutions(self.convolutions)
        if self.text_domains not in (("page",), DOMAINS):
            raise UsageError(f"text_domains: expected ('page',) or {DOMAINS}, got {self.text_domains!r}")

    def _check_convolutions(self, channels: tuple[int, ...]) -> None:
        if self.vision is not None:
            raise UsageError("convolutions: model.vision is a visual tower already; set one of the two to null")
        if not channels or any(n % GROUP_COUNT for n in channels):
            raise UsageError(f"convolutions: expected multiples of {GROUP_COUNT}, one a layer, got {list(channels)}")
        if self.image_size % 2 ** len(channels):
            raise UsageError(
                f"image_size {self.image_size} is not a multiple of {2 ** len(channels)}: each of the {len(channels)} "
                "convolutions halves it"
            )

    @property
    def has_clip_texts(self) -> bool:
        """Whether the texts of videos and live clips are read."""
        return self.text_domains == DOMAINS

    @property
    def n_patches(self) -> int:
        """Patches of one frame."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def vision_heads(self) -> int:
        """Attention heads of the visual tower."""
        return self.vision_width // _HEAD_DIM

    @property
    def mit_heads(self) -> int:
        """Attention heads of the blocks that integrate the frames."""
        return self.feature_dim // _HEAD_DIM

    def to_json(self) -> str:
        """The record as indented JSON with a newline at the end.

        >>> CopeConfig.from_json(CopeConfig(mit_layers=4).to_json(), "here").mit_layers
        4
        """
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "CopeConfig":
        """Read what `to_json` wrote.

        Args:
            text: the JSON.
            where: the file, for error texts.

        Raises:
            UsageError: the text is not a JSON object, or has a field that is unknown or out of range.
        """
        return make_record(cls, parse_document(text, "JSON", where), where)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveWeights:
    """How much each of the seven contrastive terms counts.

    The released training script sets none of them. These are the weights in the comments of its `infer.sh`; the two
    terms of the page's text have no flag there and take the weight of their nearest relatives.

    Attributes:
        page_visual_video: page image against video (`loss_ivpvc` in the released code).
        page_visual_live: page image against live clip (`loss_ivlvc`).
        video_live: video against live clip (`loss_pvlvc`).
        page_video: page, image and text fused, against video (`loss_ipvc`).
        page_live: page, image and text fused, against live clip (`loss_ilvc`).
        page_text_video: page title against video (`loss_itpvc`).
        page_text_live: page title against live clip (`loss_itlvc`).

    Raises:
        UsageError: a weight is negative or not a number.
    """

    page_visual_video: NonNegative = 1.0
    page_visual_live: NonNegative = 1.0
    video_live: NonNegative = 1.0
    page_video: NonNegative = 0.2
    page_live: NonNegative = 0.2
    page_text_video: NonNegative = 0.2
    page_text_live: NonNegative = 0.2

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentWeights:
    """How much each of the terms counts that AMPere adds; a term of weight 0 is not computed.

    A name has the two views that a term compares. The first three align text and image in one domain; the others align
    one modality across two domains. The released code computes none of them, but its training script asks for the first
    three, with weight 1. The published weights are not known to us.

    Attributes:
        page_text_page_visual: title against image (`loss_itivc` in the released script).
        video_text_video_visual: text of a video against its frames (`loss_ptpvc`).
        live_text_live_visual: text of a live clip against its frames (`loss_ltlvc`).
        page_visual_video_visual: page image against frames of the video.
        page_visual_live_visual: page image against frames of the live clip.
        video_visual_live_visual: frames of the video against those of the live clip.
        page_text_video_text: title against text of the video.
        page_text_live_text: title against text of the live clip.
        video_text_live_text: text of the video against that of the live clip.

    Raises:
        UsageError: a weight is negative or not a number.
    """

    page_text_page_visual: NonNegative = 0.0
    video_text_video_visual: NonNegative = 0.0
    live_text_live_visual: NonNegative = 0.0
    page_visual_video_visual: NonNegative = 0.0
    page_visual_live_visual: NonNegative = 0.0
    video_visual_live_visual: NonNegative = 0.0
    page_text_video_text: NonNegative = 0.0
    page_text_live_text: NonNegative = 0.0
    video_text_live_text: NonNegative = 0.0

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """The terms of the training objective and their weights.

    Attributes:
        temperature: divides the cosines of the contrastive terms; fixed, not learned.
        smoothing: label smoothing of the contrastive terms.
        weights: of the contrastive terms.
        alignment: weights of the terms that AMPere adds; COPE has none of them.
        classification_weight: of the product classification, summed over the three domains; 0 leaves it out.
        scale: multiplies the cosines of the classification.
        margin: taken from the cosine of the true product.
        class_share: share of the products that each step classifies among, drawn again; 1 takes all.
        logit_adjustment: how much of the logarithm of a product's share of the visits is added to its logit; see
            `cope.long_tail.log_prior_shifts`. 0 leaves it out, 1 is the published method.
        class_balance: beta of `cope.long_tail.effective_number_weights`; 0 weighs all products alike.
        value_cap: largest loss of one sample that the classification reports, or None. The gradient does not know
            of it. The released code has `RELEASED_VALUE_CAP`.

    Raises:
        UsageError: a number is out of range.
    """

    temperature: Positive = 0.05
    smoothing: Annotated[float, NumberRange(0, below=1)] = 0.1
    weights: ContrastiveWeights = field(default_factory=ContrastiveWeights)
    alignment: AlignmentWeights = field(default_factory=AlignmentWeights)
    classification_weight: NonNegative = 1.0
    scale: Positive = 64.0
    margin: Annotated[float, NumberRange(0, below=2)] = 0.4
    class_share: PositiveFraction = 1.0
    logit_adjustment: NonNegative = 0.0
    class_balance: Annotated[float, NumberRange(0, below=1)] = 0.0
    value_cap: Positive | None = None

    def __post_init__(self) -> None:
        check_record(self)
