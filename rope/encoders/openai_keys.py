"""Weights named as in OpenAI's CLIP, renamed to transformers' names.

CLIP4Clip stores both towers in this form, cn_clip its image tower.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch

__all__ = ["count_blocks", "rename_text", "rename_vision"]

State = Mapping[str, torch.Tensor]

_IN_BLOCK: Final = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}

_VISION: Final = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    # transformers spells this one so.
    "ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "ln_post.weight": "vision_model.post_layernorm.weight",
    "ln_post.bias": "vision_model.post_layernorm.bias",
}

_TEXT: Final = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}


def rename_vision(state: State) -> dict[str, torch.Tensor]:
    """The image tower of `visual.*` under transformers' names; the other keys are left out.

    The projection is stored the other way round there, and query, key and value apart. What is not known keeps its
    name, so that it is found to be no part of the model.

    Raises:
        KeyError: the projection is missing.
    """
    own = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    renamed = _renamed(own, _VISION, "vision_model", "visual.", "proj")
    return renamed | {"visual_projection.weight": state["visual.proj"].T.contiguous()}


def rename_text(state: State) -> dict[str, torch.Tensor]:
    """The text tower of OpenAI's CLIP under transformers' names; the keys of `visual.*` and the scale are left out.

    Raises:
        KeyError: the projection is missing.
    """
    own = {key: value for key, value in state.items() if not key.startswith("visual.") and key != "logit_scale"}
    renamed = _renamed(own, _TEXT, "text_model", "", "text_projection")
    return renamed | {"text_projection.weight": state["text_projection"].T.contiguous()}


def count_blocks(state: State, prefix: str) -> int:
    """The number of different `i` in keys `PREFIX.i.*`.

    >>> count_blocks({"a.0.w": torch.ones(1), "a.1.w": torch.ones(1), "b": torch.ones(1)}, "a")
    2
    """
    return len({key.removeprefix(f"{prefix}.").split(".")[0] for key in state if key.startswith(f"{prefix}.")})


def _renamed(
    own: State, single: Mapping[str, str], tower: str, prefix: str, projection: str
) -> dict[str, torch.Tensor]:
    """All keys of a tower but that of its projection."""
    renamed: dict[str, torch.Tensor] = {}
    for key, value in own.items():
        if key != projection:
            renamed |= {single[key]: value} if key in single else _in_block(key, value, tower, prefix)
    return renamed


def _in_block(key: str, value: torch.Tensor, tower: str, prefix: str) -> dict[str, torch.Tensor]:
    """The key `transformer.resblocks.i.*` as those of `TOWER.encoder.layers.i`; another one with its prefix."""
    found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", key)
    if found is None or found[2] not in (*_IN_BLOCK, "attn.in_proj"):
        return {f"{prefix}{key}": value}
    index, part, kind = found.groups()
    layer = f"{tower}.encoder.layers.{index}"
    if part == "attn.in_proj":
        thirds = zip("qkv", value.chunk(3), strict=True)
        return {f"{layer}.self_attn.{name}_proj.{kind}": third for name, third in thirds}
    return {f"{layer}.{_IN_BLOCK[part]}.{kind}": value}
