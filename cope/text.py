"""The text tower: BERT's layers with its pooler."""

import torch
from torch import nn
from transformers import BertConfig, BertModel

from cope.config import CopeConfig

__all__ = ["embed_texts", "text_tower"]


def text_tower(config: CopeConfig) -> BertModel:
    """A tower with random weights; Chinese RoBERTa (`hfl/rbt3`) is a BERT in its layers.

    >>> tower = text_tower(CopeConfig(text_layers=1, text_width=8, text_heads=2, text_mlp_width=8, vocabulary=10))
    >>> embed_texts(tower.eval(), torch.tensor([[1, 2]]), torch.ones(1, 2)).shape
    torch.Size([1, 8])
    """
    return BertModel(
        BertConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_heads,
            intermediate_size=config.text_mlp_width,
            max_position_embeddings=config.text_positions,
            type_vocab_size=config.text_token_types,
            hidden_dropout_prob=config.text_dropout,
            attention_probs_dropout_prob=config.text_dropout,
        )
    )


def embed_texts(tower: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Features [b, text_width] of b texts: tanh of a linear layer on the state of the first token.

    Args:
        tower: from `text_tower`, or a `BackboneText`, which has features of its own.
        input_ids: tokens, integers [b, length], `[CLS]` first.
        attention_mask: [b, length], 1 for a token and 0 for padding.
    """
    found = tower(input_ids=input_ids, attention_mask=attention_mask)
    features: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return features
