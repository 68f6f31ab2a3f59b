"""The LEARN model: adaptor, causal transformer without positions, projection; shared by users and items."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEncoder

from baselines.learn.config import LearnConfig
from rope.encoders.weights import fill

__all__ = ["Learn", "causal_mask", "last_places", "load_released"]

_HIDDEN = -1e4
"""What is added to the attention of what must not be seen; the release's number."""


class Learn(nn.Module):
    """Users and items as unit vectors.

    Parameters have the names of the authors' checkpoints, in which they follow `module.`.
    """

    def __init__(self, config: LearnConfig) -> None:
        """Draw the first weights as torch does for linear layers."""
        super().__init__()
        self.config = config
        self.adaptor = nn.Linear(config.input_dim, config.width)
        self.summary_encoder = _encoder(config)
        self.mlp = nn.Sequential(nn.Linear(config.width, config.output_dim))

    def forward(self, history: Tensor, mask: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Users at every place of their history, and items.

        Args:
            history: content embeddings [b, t, input_dim], oldest first, padded at the end.
            mask: [b, t], 1 for an item and 0 for padding.
            items: content embeddings [n, input_dim], or [b, a, input_dim] for sequences of them.

        Returns:
            Unit vectors [b, t, output_dim] and of the leading shape of `items`.
        """
        return self.encode(history, mask), self._encode_items(items)

    def encode(self, sequences: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors [b, t, output_dim]; each place has seen itself and those before it."""
        hidden = self.adaptor(sequences)
        hidden = self.summary_encoder(hidden, attention_mask=causal_mask(mask).to(hidden.dtype)).last_hidden_state
        return normalize(self.mlp(hidden), dim=-1)

    def encode_users(self, history: Tensor, mask: Tensor) -> Tensor:
        """The last place of each history: unit vectors [b, output_dim]."""
        return last_places(self.encode(history, mask), mask)

    def encode_items(self, items: Tensor) -> Tensor:
        """Each item by itself: content embeddings [n, input_dim] to unit vectors [n, output_dim]."""
        if self.config.item_tower == "projection":
            return normalize(self.mlp(self.adaptor(items)), dim=-1)
        hidden = self.summary_encoder(self.adaptor(items)[:, None]).last_hidden_state
        return normalize(self.mlp(hidden[:, 0]), dim=-1)

    def _encode_items(self, items: Tensor) -> Tensor:
        if items.ndim == 2:
            return self.encode_items(items)
        if self.config.item_tower == "causal":
            return self.encode(items, torch.ones(items.shape[:2], device=items.device))
        return self.encode_items(items.flatten(0, 1)).reshape(*items.shape[:2], -1)


def _encoder(config: LearnConfig) -> BertEncoder:
    bert = BertConfig(
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.mlp_width,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )
    bert._attn_implementation = "eager"  # the others want masks of other kinds
    return BertEncoder(bert)  # type: ignore[no-untyped-call]


def causal_mask(mask: Tensor) -> Tensor:
    """What to add to the attention: 0 where key j is an item and not after query i, else -10,000: [b, 1, t, t].

    >>> causal_mask(torch.tensor([[1, 1, 0]]))[0, 0].tolist()
    [[0.0, -10000.0, -10000.0], [0.0, 0.0, -10000.0], [0.0, 0.0, -10000.0]]
    """
    length = mask.shape[1]
    is_before = torch.ones((length, length), device=mask.device).tril()
    hidden: Tensor = (1 - is_before * mask[:, None, None, :].float()) * _HIDDEN
    return hidden + 0.0  # no negative zero


def last_places(places: Tensor, mask: Tensor) -> Tensor:
    """Of [b, t, d], the last place of each row that is not padding: [b, d]."""
    rows = torch.arange(len(places), device=places.device)
    return places[rows, mask.sum(1).long() - 1]


def load_released(checkpoint: Mapping[str, object], config: LearnConfig) -> Learn:
    """A model with the weights of a checkpoint of the authors' release: its entry `state_dict`, keys `module.*`.

    Raises:
        UsageError: the checkpoint has other weights than the model.
    """
    model = Learn(config)
    state = cast(Mapping[str, Tensor], checkpoint.get("state_dict", {}))
    fill(model, {name.removeprefix("module."): value for name, value in state.items()}, "the checkpoint")
    return model
