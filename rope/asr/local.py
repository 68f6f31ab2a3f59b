"""A language model on this machine: a causal model of transformers, from the Hub or a folder."""

from collections.abc import Sequence
from typing import Any

from rope.asr.answers import ChatAnswer, Reader, UnansweredChat
from rope.asr.prompt import Message
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["LocalModel"]


class LocalModel:
    """A causal model with a chat template; see `rope.asr.answers.ChatModel`. It always takes the likeliest token.

    Args:
        source: on the Hub, or a folder; also the model's name.
        device: as torch names it; empty for an accelerator where there is one.
        max_tokens: longest answer.
        batch_size: texts that are answered together.

    Raises:
        UsageError: the model is unknown, it has no chat template, or transformers is not installed.
    """

    def __init__(self, source: str, *, device: str = "", max_tokens: int = 96, batch_size: int = 8) -> None:
        with needed_by("a local model", "cope"):
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            from rope.encoders.weights import loading
        with loading(source, "AutoModelForCausalLM of transformers"):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, padding_side="left")
            model: Any = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
        if self._tokenizer.chat_template is None:
            raise UsageError(f"{source}: has no chat template; choose a model that was tuned to follow instructions")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.name = source
        self._model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self._max_tokens, self._batch_size = max_tokens, batch_size

    def answer(self, conversations: Sequence[Sequence[Message]], keep: Reader) -> list[UnansweredChat]:
        """Answer conversations, batch by batch, the shortest first, so that little is padded; none is lost."""
        order = sorted(range(len(conversations)), key=lambda i: (len(conversations[i][-1]["content"]), i))
        for start in range(0, len(order), self._batch_size):
            places = order[start : start + self._batch_size]
            for place, answer in zip(places, self._batch([conversations[i] for i in places]), strict=True):
                keep(place, answer)
        return []

    def _batch(self, conversations: Sequence[Sequence[Message]]) -> list[ChatAnswer]:
        import torch

        tokens = self._tokenizer.apply_chat_template(
            [list(conversation) for conversation in conversations],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        ).to(self._model.device)
        with torch.inference_mode():
            made = self._model.generate(
                input_ids=tokens["input_ids"],  # some tokenizers give more than the model takes
                attention_mask=tokens["attention_mask"],
                do_sample=False,
                max_new_tokens=self._max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        written = made[:, tokens["input_ids"].shape[1] :]
        texts = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        n_read = tokens["attention_mask"].sum(dim=1).tolist()
        n_written = (written != self._tokenizer.pad_token_id).sum(dim=1).tolist()
        return [ChatAnswer(text, False, *counts) for text, *counts in zip(texts, n_read, n_written, strict=True)]
