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

    The projection is stored the other way round there, and query, key and value apart.
    """
    own = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    renamed = {_VISION[key]: value for key, value in own.items() if key in _VISION}
    return renamed | _blocks(own, "vision_model") | {"visual_projection.weight": own["proj"].T.contiguous()}


def rename_text(state: State) -> dict[str, torch.Tensor]:
    """The text tower of OpenAI's CLIP under transformers' names; the other keys are left out."""
    renamed = {_TEXT[key]: value for key, value in state.items() if key in _TEXT}
    projection = {"text_projection.weight": state["text_projection"].T.contiguous()}
    return renamed | _blocks(state, "text_model") | projection


def count_blocks(state: State, prefix: str) -> int:
    """The number of different `i` in keys `PREFIX.i.*`.

    >>> count_blocks({"a.0.w": torch.ones(1), "a.1.w": torch.ones(1), "b": torch.ones(1)}, "a")
    2
    """
    return len({key.removeprefix(f"{prefix}.").split(".")[0] for key in state if key.startswith(f"{prefix}.")})


def _blocks(state: State, tower: str) -> dict[str, torch.Tensor]:
    """The keys `transformer.resblocks.i.*` as those of `TOWER.encoder.layers.i`."""
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", key)
        if found is None:
            continue
        index, part, kind = found.groups()
        layer = f"{tower}.encoder.layers.{index}"
        if part == "attn.in_proj":
            thirds = zip("qkv", value.chunk(3), strict=True)
            renamed |= {f"{layer}.self_attn.{name}_proj.{kind}": third for name, third in thirds}
        else:
            renamed[f"{layer}.{_IN_BLOCK[part]}.{kind}"] = value
    return renamed
