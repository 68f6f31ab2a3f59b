"""A small random Whisper in the format of the real ones."""

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from rope.encoders.running import without_bars

SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", *(f"<|{i / 50:.2f}|>" for i in range(1501)),
]  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 16
"""Tokens of a text, with the four that begin it."""

ID = {word: i for i, word in enumerate([*LETTERS, *SPECIAL])}


def save_whisper(folder: Path, *, is_multilingual: bool = True, sharp: float = 2.0, silent: float = 0.0) -> Path:
    """A Whisper of one layer whose words are letters, and what it says depends on what it hears.

    Args:
        folder: where to write.
        is_multilingual: whether it knows Chinese beside English.
        sharp: how sure it is of its words; near 0 all are alike to it.
        silent: what is added to its thought that nobody speaks.
    """
    end, start = ID["<|endoftext|>"], ID["<|startoftranscript|>"]
    tokens = {"eos_token_id": end, "bos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    config = WhisperConfig(
        vocab_size=len(ID), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=LENGTH,
        suppress_tokens=[], begin_suppress_tokens=[], **tokens,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    _set_weights(model, sharp, silent)
    languages = {"lang_to_id": {"<|en|>": ID["<|en|>"], "<|zh|>": ID["<|zh|>"]}}
    tasks = {"task_to_id": {"transcribe": ID["<|transcribe|>"], "translate": ID["<|translate|>"]}}
    model.generation_config = GenerationConfig(
        is_multilingual=is_multilingual, no_timestamps_token_id=ID["<|notimestamps|>"], max_length=LENGTH,
        return_timestamps=False, suppress_tokens=[i for word, i in ID.items() if word in SPECIAL[1:]],
        **tokens, **((languages | tasks) if is_multilingual else {}),
    )  # fmt: skip
    with without_bars():
        model.save_pretrained(folder)
    tokenizer = WhisperTokenizer(vocab=ID, merges=[], additional_special_tokens=SPECIAL[1:10])
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def _set_weights(model: WhisperForConditionalGeneration, sharp: float, silent: float) -> None:
    """Seeded weights; the last hidden state begins with a 1, which one word multiplies by `silent`."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter[:] = torch.randn(parameter.shape, generator=generator)
        norm = model.model.decoder.layer_norm
        norm.weight[0], norm.bias[0] = 0.0, 1.0
        words = model.model.decoder.embed_tokens.weight
        words *= sharp
        words[:, 0] = 0.0
        words[ID["<|nospeech|>"], 0] = silent
