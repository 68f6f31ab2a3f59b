"""Chinese-CLIP: Chinese texts and images in one space, from transformers or from the authors' checkpoints.

Source: Yang et al., Chinese CLIP: Contrastive Vision-Language Pretraining in Chinese, 2022; package `cn_clip` 1.6.
Both ways of computing give the same vectors; what goes in (square pixels, 52 tokens) is the authors' in both.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer, BertTokenizer, ChineseCLIPConfig, ChineseCLIPModel

from rope.encoders.identity import fingerprint_of
from rope.encoders.openai_keys import count_blocks, rename_vision
from rope.encoders.pixels import square_pixels
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import fill, loading, named_weights, read_state
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["BACKENDS", "CONTEXT", "DEFAULT_MODEL", "ChineseClip", "load_chinese_clip", "read_checkpoint"]

DEFAULT_MODEL: Final = "OFA-Sys/chinese-clip-vit-base-patch16"
BACKENDS: Final = ("transformers", "cn_clip")
CONTEXT: Final = 52
"""Tokens of a text with its two marks; longer texts are cut."""

_EXPECTED: Final = "a checkpoint of Chinese-CLIP, as cn_clip saves it"

_FUSED: Final = re.compile(r"(bert\.encoder\.layer\.\d+\.attention\.)self\.(Wqkv|out_proj)\.(weight|bias)")
"""Attention of the text tower in checkpoints that were trained with --use-flash-attention."""

State = dict[str, torch.Tensor]


class _Towers(Protocol):
    """The two towers, whatever computes them."""

    def images(self, pixels: torch.Tensor) -> torch.Tensor: ...

    def texts(self, ids: torch.Tensor) -> torch.Tensor: ...


class ChineseClip:
    """Images and texts to vectors that are not normalised, as the authors' `encode_image` and `encode_text` give.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: True.
        thread_safe: True.
        side: of the images that the model sees, in pixels.
    """

    has_text: bool = True
    thread_safe: bool = True

    def __init__(
        self,
        model: torch.nn.Module,
        towers: _Towers,
        tokenize: Callable[[Sequence[str]], torch.Tensor],
        side: int,
    ) -> None:
        # cn_clip hands its models out in training mode, where dropout makes every call differ.
        self._model = model.eval()
        self._towers = towers
        self._tokenize = tokenize
        self.side = side
        self.fingerprint = fingerprint_of(self)

    @property
    def _like(self) -> torch.Tensor:
        return next(self._model.parameters())

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, side, side]."""
        return square_pixels(image, self.side)

    @torch.inference_mode()
    def encode_images(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images."""
        pixels = torch.stack(list(prepared)).to(self._like.device, self._like.dtype)
        return self._towers.images(pixels).float()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        return self._towers.texts(self.tokenize(texts).to(self._like.device)).float()

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """int64 [n, 52]: [CLS], at most 50 word pieces, [SEP], and 0 after."""
        return self._tokenize(texts)


def load_chinese_clip(
    source: str = DEFAULT_MODEL,
    *,
    backend: str = "transformers",
    precision: str = "fp32",
    device: str = "auto",
    vocabulary: str | None = None,
    vision_head_width: int = 0,
    text_head_width: int = 64,
) -> ChineseClip:
    """Load Chinese-CLIP.

    Args:
        source: a Hub id or folder of transformers, or a file `.pt` of the authors (vision transformers alone, not the
            ResNet); `cn_clip` computes the latter alone.
        backend: `transformers`, or `cn_clip` for the authors' package.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `choose_device`.
        vocabulary: the `vocab.txt` of BERT for a file `.pt`; None takes the one next to it, else that of `cn_clip`.
        vision_head_width: width of an attention head in the image tower of a file `.pt`, which does not say; 0 is 64,
            or 80 where the tower is 1280 wide, as in every released model.
        text_head_width: the same of the text tower.

    Raises:
        UsageError: the source or an option does not fit, or a package is not installed.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
    place, dtype = choose_device(device), choose_dtype(precision)
    if not source.endswith(".pt") and not Path(source).is_file():
        if backend == "cn_clip":
            raise UsageError(f"{source}: backend cn_clip needs a checkpoint of the authors, a file ending in .pt")
        return _from_transformers(source, place, dtype)
    state = read_checkpoint(Path(source))
    words = _vocabulary(Path(source), vocabulary)
    make = _official_model if backend == "cn_clip" else _converted_model
    with named_weights(source):
        sizes = _sizes(state, vision_head_width, text_head_width)
        model = make(state, sizes, source).to(place, dtype)
    towers: _Towers = _OfficialTowers(model) if backend == "cn_clip" else _TransformersTowers(model)
    tokenize = _tokenizer(BertTokenizer(vocab=str(words), do_lower_case=True))
    return ChineseClip(model, towers, tokenize, sizes["image_resolution"])


def read_checkpoint(path: Path) -> State:
    """The weights of a checkpoint of cn_clip in float32, without the prefix `module.` and BERT's unused pooler.

    Attention that was fused for training with --use-flash-attention has the plain names again.

    Raises:
        UsageError: the file does not exist or is something else.
    """
    plain: State = {}
    for key, value in read_state(path, _EXPECTED).items():
        plain |= _unfused(key, value.float())
    if "visual.conv1.weight" not in plain or "text_projection" not in plain or "visual.class_embedding" not in plain:
        raise UsageError(f"{path}: these are not the weights of a Chinese-CLIP with a vision transformer")
    return {key: value for key, value in plain.items() if not key.startswith("bert.pooler.")}


def _unfused(key: str, value: torch.Tensor) -> State:
    """A weight as the plain model has it: `Wqkv` of an image block renamed, that of a text layer in three."""
    found = _FUSED.fullmatch(key)
    if found is None:
        return {re.sub(r"^(visual\..*\.attn)\.Wqkv\.", r"\1.in_proj_", key): value}
    attention, part, kind = found.groups()
    if part == "out_proj":
        return {f"{attention}output.dense.{kind}": value}
    thirds = zip(("query", "key", "value"), value.chunk(3), strict=True)
    return {f"{attention}self.{name}.{kind}": third for name, third in thirds}


def _sizes(state: State, vision_head_width: int, text_head_width: int) -> dict[str, Any]:
    """The arguments of cn_clip's model class, read off the weights."""
    width, _, patch, _ = state["visual.conv1.weight"].shape
    n_patches = state["visual.positional_embedding"].shape[0] - 1
    words, hidden = state["bert.embeddings.word_embeddings.weight"].shape
    return {
        "embed_dim": state["text_projection"].shape[1],
        "image_resolution": patch * round(n_patches**0.5),
        "vision_layers": count_blocks(state, "visual.transformer.resblocks"),
        "vision_width": width,
        "vision_head_width": vision_head_width or (80 if width == 1280 else 64),
        "vision_patch_size": patch,
        "vocab_size": words,
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": hidden,
        "text_initializer_range": 0.02,
        "text_intermediate_size": state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "text_max_position_embeddings": state["bert.embeddings.position_embeddings.weight"].shape[0],
        "text_num_attention_heads": max(1, hidden // text_head_width),
        "text_num_hidden_layers": count_blocks(state, "bert.encoder.layer"),
        "text_type_vocab_size": state["bert.embeddings.token_type_embeddings.weight"].shape[0],
    }


def _converted_model(state: State, sizes: Mapping[str, Any], where: str) -> torch.nn.Module:
    """The authors' weights in transformers' model."""
    text = {key.removeprefix("text_"): value for key, value in sizes.items() if key.startswith("text_")}
    vision = {
        "hidden_size": sizes["vision_width"],
        "intermediate_size": state["visual.transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": sizes["vision_layers"],
        "num_attention_heads": sizes["vision_width"] // sizes["vision_head_width"],
        "image_size": sizes["image_resolution"],
        "patch_size": sizes["vision_patch_size"],
        "hidden_act": "quick_gelu",
    }
    text |= {"vocab_size": sizes["vocab_size"], "layer_norm_eps": 1e-12}
    config = ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=sizes["embed_dim"])
    model = ChineseCLIPModel(config)
    renamed = {re.sub(r"^bert\.", "text_model.", key): value for key, value in state.items() if key[:7] != "visual."}
    renamed |= rename_vision(state) | {"text_projection.weight": renamed.pop("text_projection").T.contiguous()}
    fill(model, renamed, where)
    return cast("torch.nn.Module", model)


def _official_model(state: State, sizes: Mapping[str, Any], where: str) -> torch.nn.Module:
    with needed_by("backend cn_clip"):
        from cn_clip.clip.model import CLIP
    model: torch.nn.Module = CLIP(**sizes)
    fill(model, state, where)
    return model


class _TransformersTowers:
    def __init__(self, model: Any) -> None:  # noqa: ANN401  transformers' classes have no useful types
        self._model = model

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self._model.get_image_features(pixel_values=pixels).pooler_output)

    def texts(self, ids: torch.Tensor) -> torch.Tensor:
        # BERT sees both ways: without the mask, the padding would change the vector.
        found = self._model.get_text_features(input_ids=ids, attention_mask=(ids != 0).long())
        return cast("torch.Tensor", found.pooler_output)


class _OfficialTowers:
    def __init__(self, model: Any) -> None:  # noqa: ANN401  cn_clip has no types
        from cn_clip.clip.model import LayerNorm

        self._model = model
        for module in model.modules():
            if isinstance(module, LayerNorm):
                module.float()  # they compute in float32 whatever goes in

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self._model.encode_image(pixels))

    def texts(self, ids: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self._model.encode_text(ids))


def _from_transformers(source: str, place: torch.device, dtype: torch.dtype) -> ChineseClip:
    with loading(source, "ChineseCLIPModel of transformers"):
        model: Any = ChineseCLIPModel.from_pretrained(source, dtype=dtype)
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
    model.to(place)
    side = model.config.vision_config.image_size
    return ChineseClip(model, _TransformersTowers(model), _tokenizer(tokenizer), side)


def _tokenizer(tokenizer: Any) -> Callable[[Sequence[str]], torch.Tensor]:  # noqa: ANN401
    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        found = tokenizer(list(texts), padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
        return cast("torch.Tensor", found["input_ids"])

    return tokenize


def _vocabulary(checkpoint: Path, given: str | None) -> Path:
    """The file of word pieces for a checkpoint of the authors, which does not hold them."""
    path = Path(given) if given else checkpoint.with_name("vocab.txt")
    if path.is_file():
        return path
    if given:
        raise UsageError(f"{path}: no such file; expected the vocab.txt of bert-base-chinese")
    try:
        from cn_clip import clip
    except ImportError as error:
        message = (
            f"{checkpoint} needs the vocab.txt of bert-base-chinese: put it at {path}, name it, or install cn_clip"
        )
        raise UsageError(message) from error
    return Path(clip.__file__).with_name("vocab.txt")
