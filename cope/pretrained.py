"""Towers that begin with published weights: X-CLIP's for vision, a Chinese RoBERTa's or another BERT's for text."""

from collections.abc import Mapping
from typing import Final

import torch
from transformers import BertModel, XCLIPModel

from cope.model import Cope
from rope.encoders.weights import check_weights, loading
from rope.media import choose_frames

__all__ = ["load_text_tower", "load_visual_tower"]

_NOT_TAKEN: Final = r"(text_model|text_projection|prompts_generator|prompts_visual)[._].*"
"""Of an X-CLIP, what makes vectors of texts and prompts."""


def load_visual_tower(model: Cope, source: str) -> None:
    """Give the visual tower the weights of an X-CLIP, except for blocks that it has beyond that one's.

    X-CLIP has one block that integrates frames; where the model has more (the released code has 4), those keep their
    random weights. For another number of frames, the positions of the frames that would be chosen are taken.

    Args:
        model: changed in place.
        source: an X-CLIP on the Hub or in a folder.

    Raises:
        UsageError: the weights are not an X-CLIP, lack weights of its visual tower, or its sizes are not the model's.
    """
    with loading(source, "XCLIPModel of transformers", may_lack=_NOT_TAKEN):
        found = XCLIPModel.from_pretrained(source)
    given = _renamed(found.state_dict())
    positions = given["mit.position_embedding"]
    given["mit.position_embedding"] = positions[:, choose_frames(positions.shape[1], model.config.num_frames)]
    own = model.vision.state_dict()
    extra = {name: weight for name, weight in own.items() if name.startswith("mit.encoder.") and name not in given}
    check_weights({**given, **extra}, own, source)
    model.vision.load_state_dict({**given, **extra})


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of `XCLIPModel` to those of `cope.vision.VisualTower`; the text tower and the prompts are left out."""
    names = {}
    for name in state:
        if name.startswith("vision_model."):
            names[name] = name.removeprefix("vision_model.").replace("encoder.layers.", "layers.")
        elif name.startswith(("mit.", "visual_projection.")):
            names[name] = name
    return {new: state[old] for old, new in names.items()}


def load_text_tower(model: Cope, source: str) -> None:
    """Give the text tower the weights of a BERT.

    Args:
        model: changed in place.
        source: a BERT on the Hub or in a folder.

    Raises:
        UsageError: the weights are not a BERT, lack some such as the pooler's, or their sizes are not the model's.
    """
    with loading(source, "BertModel of transformers"):
        found = BertModel.from_pretrained(source)
    check_weights(found.state_dict(), model.text.state_dict(), source)
    model.text.load_state_dict(found.state_dict())
