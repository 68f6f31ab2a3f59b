"""The authors' `pytorch_model.bin.N` of CLIP4Clip as transformers' CLIP and a head."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from transformers import CLIPConfig, CLIPModel

from baselines.clip4clip_heads import HEADS, POSITIONS, MeanP, SeqLstm, SeqTransf, TightTransf
from rope.encoders.openai_keys import count_blocks, rename_text, rename_vision
from rope.encoders.weights import fill, named_weights, read_state
from rope.errors import UsageError

__all__ = ["Clip4ClipWeights", "make_head", "read_clip4clip", "recognise_head"]

State = dict[str, torch.Tensor]
Head = MeanP | SeqLstm | SeqTransf | TightTransf

_FIRST_MLP: Final = "transformer.resblocks.0.mlp.c_fc.weight"


@dataclass(frozen=True)
class Clip4ClipWeights:
    """A checkpoint in memory, all in float32.

    Attributes:
        clip: transformers' CLIP.
        head_name: one of `HEADS`.
        head: its module.
        trained: whether the head's weights come from the checkpoint.
    """

    clip: CLIPModel
    head_name: str
    head: Head
    trained: bool


@dataclass(frozen=True, slots=True)
class _HeadSizes:
    """Of a head: rows of its table of positions, blocks, and width inside of their MLPs."""

    n_positions: int = POSITIONS
    n_blocks: int = 0
    inner: int = 0


def read_clip4clip(path: Path, *, head: str | None = None, cross_heads: int = 8, seed: int = 0) -> Clip4ClipWeights:
    """Read a checkpoint; its keys tell the head, unless another is given.

    Args:
        path: a file `pytorch_model.bin.N`.
        head: None for the one of the checkpoint. Another one is initialised as the authors do: blocks and positions
            from the text tower, the rest at random.
        cross_heads: attention heads of tightTransf, which no checkpoint tells; the authors' file has 8.
        seed: draws what is random in a head without weights.

    Raises:
        UsageError: the file or head does not exist, or the file holds something else.
    """
    stored = read_state(path, "a pytorch_model.bin.N of CLIP4Clip")
    if "clip.visual.conv1.weight" not in stored:
        raise UsageError(f"{path}: these are not the weights of a CLIP4Clip with a vision transformer")
    if "clip.visual.conv2.weight" in stored:
        raise UsageError(f"{path}: trained with a 3D patch layer (linear_patch=3d), which is not supported")
    state = {key: value.float() for key, value in stored.items()}
    clip = {key.removeprefix("clip."): value for key, value in state.items() if key.startswith("clip.")}
    found = recognise_head(state)
    wanted = head or found
    of_head = {key: value for key, value in state.items() if not key.startswith("clip.")}
    with named_weights(path):
        made = make_head(
            wanted, clip, of_head if wanted == found else None, cross_heads=cross_heads, seed=seed, where=str(path)
        )
        return Clip4ClipWeights(_clip_model(clip, str(path)), wanted, made, wanted == found)


def recognise_head(state: Mapping[str, torch.Tensor]) -> str:
    """The head of a checkpoint, by its keys.

    >>> recognise_head({"lstm_visual.bias_ih_l0": torch.zeros(1)}), recognise_head({})
    ('seqLSTM', 'meanP')
    """
    marks = {"lstm_visual.": "seqLSTM", "transformerClip.": "seqTransf", "similarity_dense.": "tightTransf"}
    return next((head for mark, head in marks.items() if any(key.startswith(mark) for key in state)), "meanP")


def make_head(
    name: str, clip: State, weights: State | None, *, cross_heads: int, seed: int, where: str = "the head"
) -> Head:
    """A head with the weights of a checkpoint, or without any: from CLIP's text tower where the authors take it.

    Every size follows from the tensors.

    Args:
        name: one of `HEADS`.
        clip: CLIP's weights under OpenAI's names.
        weights: the head's own, or None.
        cross_heads: attention heads of tightTransf.
        seed: of what is random without weights.
        where: the file, for error texts.

    Raises:
        UsageError: the head is unknown, or weights are missing or do not fit each other.
    """
    if name not in HEADS:
        raise UsageError(f"head {name!r} is not one of {', '.join(HEADS)}")
    sizes = _head_sizes(name, weights) if weights else _initial_sizes(clip)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = _new_head(name, clip["text_projection"].shape[1], sizes, cross_heads)
    fill(made, weights if weights is not None else made.state_dict() | _initial(made.state_dict(), clip), where)
    return made


def _new_head(name: str, width: int, sizes: _HeadSizes, cross_heads: int) -> Head:
    if name == "tightTransf":
        if width % cross_heads:
            raise UsageError(f"cross_heads: vectors of {width} numbers cannot be divided among {cross_heads} heads")
        return TightTransf(width, cross_heads, sizes.n_blocks, n_positions=sizes.n_positions, inner=sizes.inner)
    if name == "seqTransf":
        return SeqTransf(width, sizes.n_blocks, n_positions=sizes.n_positions, inner=sizes.inner)
    return SeqLstm(width, sizes.n_positions) if name == "seqLSTM" else MeanP()


def _head_sizes(name: str, weights: State) -> _HeadSizes:
    """The sizes of a head's weights.

    Raises:
        KeyError: one that tells a size is missing.
    """
    if name == "meanP":
        return _HeadSizes()
    if name == "seqLSTM":
        return _HeadSizes(len(weights["frame_position_embeddings.weight"]))
    is_tight = name == "tightTransf"
    blocks = "cross.transformer.resblocks" if is_tight else "transformerClip.resblocks"
    positions = "cross.embeddings.position_embeddings" if is_tight else "frame_position_embeddings"
    inner = len(weights[f"{blocks}.0.mlp.c_fc.weight"])
    return _HeadSizes(len(weights[f"{positions}.weight"]), count_blocks(weights, blocks), inner)


def _initial_sizes(clip: State) -> _HeadSizes:
    """Of a head that takes what it can from the text tower, as the authors do."""
    n_blocks = min(4, count_blocks(clip, "transformer.resblocks"))
    return _HeadSizes(len(clip["positional_embedding"]), n_blocks, len(clip[_FIRST_MLP]))


def _initial(head: Mapping[str, torch.Tensor], clip: State) -> State:
    """What the authors copy from the text tower into a head that has no weights yet."""
    copied: State = {}
    for key, value in head.items():
        _, found, rest = key.partition("resblocks.")
        if found:
            copied[key] = clip[f"transformer.resblocks.{rest}"]
        elif "position_embeddings" in key:
            copied[key] = clip["positional_embedding"][: len(value)]
    return copied


def _clip_model(clip: State, where: str) -> CLIPModel:
    """OpenAI's weights in transformers' CLIP. Heads are 64 wide in both towers."""
    width, _, patch, _ = clip["visual.conv1.weight"].shape
    words, text_width = clip["token_embedding.weight"].shape
    vision = {
        **_tower(width, count_blocks(clip, "visual.transformer.resblocks"), len(clip[f"visual.{_FIRST_MLP}"])),
        "patch_size": patch,
        "image_size": patch * round((clip["visual.positional_embedding"].shape[0] - 1) ** 0.5),
    }
    text = {
        **_tower(text_width, count_blocks(clip, "transformer.resblocks"), len(clip[_FIRST_MLP])),
        "vocab_size": words,
        "max_position_embeddings": clip["positional_embedding"].shape[0],
        # The value that makes transformers take the row of the highest id, as CLIP4Clip does.
        "eos_token_id": 2,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=clip["text_projection"].shape[1])
    model: Any = CLIPModel(config)
    fill(model, rename_vision(clip) | rename_text(clip) | {"logit_scale": clip["logit_scale"]}, where)
    return cast("CLIPModel", model)


def _tower(width: int, n_blocks: int, inner: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": n_blocks,
        "num_attention_heads": max(1, width // 64),
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }
