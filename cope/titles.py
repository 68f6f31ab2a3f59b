"""Titles to tokens, with a BERT tokenizer: a published one, or one made of the characters of the training texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase

from cope.backbones import BackboneText
from rope.errors import UsageError

__all__ = ["EMPTY_TEXT", "Tokens", "character_tokenizer", "load_tokenizer", "tokenize", "tokenize_for"]

EMPTY_TEXT: Final = "空"
"""The marker for an empty text in the release and in the released code."""

_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Tokens(NamedTuple):
    """b texts: `input_ids` int64 [b, length], and `attention_mask` [b, length], 1 for a token and 0 for padding."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | None], *, prefix: str = "", to_full_length: bool = False
) -> Tokens:
    """Cut texts to the tokenizer's `model_max_length`, `[CLS]` and `[SEP]` included, and pad them to the longest.

    Args:
        tokenizer: of the model.
        texts: None is the empty text.
        prefix: what is put before each.
        to_full_length: pad to `model_max_length` instead.
    """
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}  # one, where titles are not read
    made = tokenizer(
        [prefix + (text or EMPTY_TEXT) for text in distinct],
        padding="max_length" if to_full_length else True,
        truncation=True,
        return_tensors="pt",
    )
    ids, rows = made["input_ids"], [distinct[text] for text in texts]
    return Tokens(ids[rows], made.get("attention_mask", torch.ones_like(ids))[rows])


def tokenize_for(tower: object, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | None]) -> Tokens:
    """`tokenize` as the text tower of a model wants it."""
    if not isinstance(tower, BackboneText):
        return tokenize(tokenizer, texts)
    return tokenize(tokenizer, texts, prefix=tower.config.prefix, to_full_length=tower.pads)


def character_tokenizer(texts: Iterable[str | None], size: int) -> PreTrainedTokenizerBase:
    """A tokenizer whose tokens are the most frequent characters of some texts.

    Every character occurs twice, as the first and as a later part of a word, as WordPiece wants it. Of characters
    that are as frequent, the one with the lower code point comes first, so that the order of the texts changes nothing.

    Args:
        texts: None is ignored.
        size: largest number of tokens, with the five special ones.

    >>> tokenizer = character_tokenizer(["a cup", "茶杯"], 100)
    >>> tokenizer.convert_ids_to_tokens(tokenizer("cup 茶")["input_ids"])
    ['[CLS]', 'c', '##u', '##p', '茶', '[SEP]']
    """
    counts = Counter(character for text in texts if text for character in text.lower() if not character.isspace())
    counts[EMPTY_TEXT] += 1
    frequent = sorted(counts, key=lambda character: (-counts[character], character))[
        : max(0, size - len(_SPECIAL)) // 2
    ]
    words = [*_SPECIAL, *frequent, *(f"##{character}" for character in frequent)]
    tokenizer: PreTrainedTokenizerBase = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    return tokenizer


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """A tokenizer of the Hub or in a folder.

    Raises:
        UsageError: there is none.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise UsageError(f"{source}: no tokenizer can be loaded from here ({str(error).splitlines()[0]})") from error
    return tokenizer
