"""Texts through a language model: the mean of its last hidden states, as LEARN describes items.

Source: Jia et al., LEARN: Knowledge Adaptation from Large Language Model to Recommendation for Practical Industrial
Application, 2024. Any model of transformers with last hidden states will do, one that reads left to right or both ways.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer

from baselines.late_interaction import refuse_many_vectors
from rope.config import Count, value_of_text
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading
from rope.errors import UsageError
from rope.schema import EMPTY_TEXT

__all__ = ["LlmText", "embedder", "load_llm_text", "masked_mean"]

_UNUSED: Final = r"(.*\.)?pooler\..*"
"""What stands after the last hidden states, and enters nothing here."""


class LlmText:
    """A language model as an embedder of texts; frames are not looked at.

    Attributes:
        name: that of the model, without its owner.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.

    Args:
        name: see above.
        model: of transformers; called with ids and a mask, it gives `last_hidden_state`.
        tokenizer: its own; texts are padded on the right whatever it says, so that a model which reads left to right
            and counts positions from the first token sees each text as if it were alone.
        template: a text with `{}` instead of the sample's.
        max_tokens: longer texts are cut off.
        batch_size: texts that the model sees at a time.

    Raises:
        UsageError: the tokenizer has no token to pad with.
    """

    def __init__(
        self,
        name: str,
        model: Any,  # noqa: ANN401 -- of transformers
        tokenizer: Any,  # noqa: ANN401
        *,
        template: str,
        max_tokens: int,
        batch_size: int,
    ) -> None:
        tokenizer.padding_side = "right"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise UsageError(f"{name}: its tokenizer has no token for padding, the end or the unknown")
        self.name = name
        self._model, self._tokenizer = model.eval(), tokenizer
        self._template, self._max_tokens, self._batch_size = template, max_tokens, batch_size
        self.fingerprint = fingerprint_of(self)

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, dim], every row of length 1.

        A sample without a text is given to the model as `空`, the release's mark for that: all such are alike, and
        ties count against a model.
        """
        return self.encode([self._template.replace("{}", sample.text or EMPTY_TEXT) for sample in samples])

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The normalised means of n texts, float32 [n, dim], without the template.

        Raises:
            UsageError: the tokenizer makes no token of a text.
        """
        if not texts:
            return np.zeros((0, 0), np.float32)
        tokens = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
        if not all(tokens):
            raise UsageError(f"{self.name}: its tokenizer makes nothing of {texts[tokens.index([])]!r}; use a template")
        order = sorted(range(len(texts)), key=lambda i: (-len(tokens[i]), i))
        rows: dict[int, torch.Tensor] = {}
        for start in range(0, len(order), self._batch_size):
            places = order[start : start + self._batch_size]
            rows |= zip(places, self._batch([tokens[i] for i in places]), strict=True)
        return torch.stack([rows[i] for i in range(len(texts))]).numpy()

    def _batch(self, tokens: list[list[int]]) -> torch.Tensor:
        """float32 [n, dim] of n texts as ids."""
        given = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self._model.device)
        mask = given["attention_mask"]
        hidden = self._model(input_ids=given["input_ids"], attention_mask=mask).last_hidden_state
        return torch.nn.functional.normalize(masked_mean(hidden, mask), dim=-1).cpu()


def masked_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean [n, dim] of the states [n, length, dim] where the mask [n, length] is 1, added up in float32.

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[2.]])
    """
    weights = mask.unsqueeze(-1).float()
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)


def load_llm_text(
    source: str, *, template: str, precision: str, device: str, max_tokens: int, batch_size: int
) -> LlmText:
    """Load a model and its tokenizer from the Hub or a folder; the arguments are those of `embedder`.

    Raises:
        UsageError: transformers cannot load it, or it lacks weights.
    """
    refuse_many_vectors(source)
    place, dtype = choose_device(device), choose_dtype(precision)
    with loading(source, "AutoModel of transformers", may_lack=_UNUSED):
        model = AutoModel.from_pretrained(source, dtype=dtype).to(place)
        tokenizer = AutoTokenizer.from_pretrained(source)
    name = source.rstrip("/").rpartition("/")[2]
    sizes = {"max_tokens": max_tokens, "batch_size": batch_size}
    return LlmText(name, model, tokenizer, template=template, **sizes)


def embedder(
    model: str,
    template: str = "{}",
    precision: str = "bf16",
    device: str = "auto",
    max_tokens: str = "512",
    batch: str = "16",
) -> LlmText:
    """The embedder of `baselines:llm_text?model=Qwen/Qwen2.5-7B`.

    Args:
        model: Hub id or folder.
        template: a text with `{}` instead of the sample's, as `Title: {}`.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `rope.encoders.running.choose_device`.
        max_tokens: of a text; the rest is cut off.
        batch: texts that the model sees at a time.

    Raises:
        UsageError: the model cannot be loaded, or an option does not fit.
    """
    if "{}" not in template:
        raise UsageError(f"template {template!r} has no {{}} instead of the text")
    return load_llm_text(
        model,
        template=template,
        precision=precision,
        device=device,
        max_tokens=value_of_text(Count, max_tokens, "max_tokens"),
        batch_size=value_of_text(Count, batch, "batch"),
    )
