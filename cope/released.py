"""The checkpoints of the authors' training code: every tensor is taken, known to be useless, or refused."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from cope.config import CopeConfig
from cope.model import Cope, with_weights
from rope.encoders.weights import named_weights, read_state
from rope.errors import UsageError

__all__ = ["ReleasedReport", "load_released", "renamed", "translate"]

Weights = Mapping[str, torch.Tensor]

_UNUSED: Final = re.compile(
    r"text_encoder\.bert_model\.embeddings\.position_ids"
    r"|(item|photo|live)_fusion_model\.fc2\.(weight|bias)"
    r"|(photo|live)_fusion_model\.attention_pooling\.projection\.(weight|bias)"
)
"""What the released forward pass never reads; the first is a constant that old versions of transformers stored."""

_PREFIXES: Final = {
    "text_encoder.bert_model.": "text.",
    "visual_encoder.visual.transformer.resblocks.": "vision.layers.",
    "visual_encoder.mit.resblocks.": "vision.mit.encoder.layers.",
    "item_fusion_model.fc0.": "page_text.",
    "item_fusion_model.fc1.": "page_visual.",
    "item_fusion_model.attention_pooling.projection.": "page_fusion.",
    "photo_fusion_model.fc1.": "video.",
    "live_fusion_model.fc1.": "live.",
}

_SINGLE: Final = {
    "visual_encoder.mit.positional_embedding": "vision.mit.position_embedding",
    "visual_encoder.visual.class_embedding": "vision.embeddings.class_embedding",
    "visual_encoder.visual.positional_embedding": "vision.embeddings.position_embedding.weight",
    "visual_encoder.visual.conv1.weight": "vision.embeddings.patch_embedding.weight",
    "visual_encoder.visual.ln_pre.weight": "vision.pre_layernorm.weight",
    "visual_encoder.visual.ln_pre.bias": "vision.pre_layernorm.bias",
    "visual_encoder.visual.ln_post.weight": "vision.post_layernorm.weight",
    "visual_encoder.visual.ln_post.bias": "vision.post_layernorm.bias",
}
_PROJECTION: Final = "visual_encoder.visual.proj"

_IN_BLOCKS: Final = {
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".attn.": ".self_attn.",
}
_PACKED: Final = re.compile(r"(.*)\.in_proj_(weight|bias)")


@dataclass(frozen=True, slots=True)
class ReleasedReport:
    """What became of every tensor of a checkpoint of the authors, by the names it has there, without `module.`.

    Attributes:
        used: tensors that the model holds now.
        ignored: tensors that the authors' own forward pass never reads.
        config: sizes, as the shapes tell them.
    """

    used: tuple[str, ...]
    ignored: tuple[str, ...]
    config: CopeConfig


def load_released(path: str | os.PathLike[str], *, text_heads: int | None = None) -> tuple[Cope, ReleasedReport]:
    """Load a checkpoint of the authors' training code, in evaluation mode, and account for every tensor in it.

    The file is unpickled with `weights_only=True`, which runs no code of it. The centres of the product
    classification are not in these files.

    Args:
        path: the file; either the whole training state or its `state_dict` alone.
        text_heads: attention heads of the text tower, which no shape tells; by default one for every 64 of its width.

    Raises:
        UsageError: the file does not exist, it cannot be read without running code of it, a tensor is unknown,
            one is missing, or has a shape that does not fit the others.
    """
    where = os.fspath(path)
    state = read_state(Path(path), "a checkpoint of the authors' training code")
    config, weights, report = translate(state, where, text_heads=text_heads)
    return with_weights(config, weights, where), report


def translate(
    state: Weights, where: str, *, text_heads: int | None = None
) -> tuple[CopeConfig, dict[str, torch.Tensor], ReleasedReport]:
    """The sizes and weights, by our names, of an official `state_dict`, and what became of each of its tensors.

    Args:
        state: tensors by name, with or without `module.` in front of all of them.
        where: the file, for error texts.
        text_heads: see `load_released`.

    Raises:
        UsageError: a tensor is not known, or one that tells a size is missing.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    ignored = tuple(name for name in state if _UNUSED.fullmatch(name))
    used = tuple(name for name in state if not _UNUSED.fullmatch(name))
    weights = renamed({name: state[name] for name in used}, where)
    config = _sizes(state, where, text_heads)
    return config, weights, ReleasedReport(used, ignored, config)


def renamed(state: Weights, where: str) -> dict[str, torch.Tensor]:
    """Official tensors by our names; what the authors pack as query, key and value comes out as three.

    Args:
        state: tensors by official name, without `module.`; not those that are ignored.
        where: the file, for error texts.

    Raises:
        UsageError: a tensor is not known.

    >>> renamed({"photo_fusion_model.fc1.bias": torch.zeros(2)}, "a file")
    {'video.bias': tensor([0., 0.])}
    """
    weights: dict[str, torch.Tensor] = {}
    unknown = []
    for name, tensor in state.items():
        translated = _translate_one(name, tensor)
        weights.update(translated)
        if not translated:
            unknown.append(name)
    if unknown:
        raise UsageError(
            f"{where}: {len(unknown)} tensors have no place in COPE, such as {unknown[0]!r}; this is a checkpoint of "
            "another model, or of another version of it"
        )
    return weights


def _translate_one(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """One official tensor by our names: three where it packs query, key and value; none where it is not known."""
    if name in _SINGLE:
        return {_SINGLE[name]: tensor}
    if name == _PROJECTION:
        return {"vision.visual_projection.weight": tensor.T.contiguous()}
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
    if prefix is None:
        return {}
    ours = _PREFIXES[prefix] + name.removeprefix(prefix)
    if not ours.startswith("vision."):
        return {ours: tensor}
    for official, transformers in _IN_BLOCKS.items():
        ours = ours.replace(official, transformers)
    if packed := _PACKED.fullmatch(ours):
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{packed[1]}.{letter}_proj.{packed[2]}": part.clone() for letter, part in parts}
    return {ours: tensor}


def _sizes(state: Weights, where: str, text_heads: int | None) -> CopeConfig:
    """Every size but the heads of the text tower follows from shapes; depths are counted."""
    bert, visual, mit = "text_encoder.bert_model.", "visual_encoder.visual.", "visual_encoder.mit."
    with named_weights(f"{where}: this is not a checkpoint of COPE"):
        words = state[f"{bert}embeddings.word_embeddings.weight"].shape
        patch = state[f"{visual}conv1.weight"].shape[-1]
        n_patches = state[f"{visual}positional_embedding"].shape[0] - 1
        return CopeConfig(
            embedding_dim=state["item_fusion_model.fc0.weight"].shape[0],
            num_frames=state[f"{mit}positional_embedding"].shape[1],
            image_size=patch * round(n_patches**0.5),
            patch_size=patch,
            vision_width=state[f"{visual}class_embedding"].shape[0],
            vision_layers=_depth(state, f"{visual}transformer.resblocks."),
            feature_dim=state[_PROJECTION].shape[1],
            mit_layers=_depth(state, f"{mit}resblocks."),
            text_layers=_depth(state, f"{bert}encoder.layer."),
            text_width=words[1],
            text_heads=text_heads or max(1, words[1] // 64),
            text_mlp_width=state[f"{bert}encoder.layer.0.intermediate.dense.weight"].shape[0],
            text_positions=state[f"{bert}embeddings.position_embeddings.weight"].shape[0],
            text_token_types=state[f"{bert}embeddings.token_type_embeddings.weight"].shape[0],
            vocabulary=words[0],
        )


def _depth(state: Weights, prefix: str) -> int:
    """How many blocks have names that begin like this; a gap shows later, as a tensor that is missing."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in state if name.startswith(prefix)})
