"""Whisper through transformers: parts of sound to texts, and to nothing where nobody speaks."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.utils.logging import get_verbosity, set_verbosity

from rope.asr.speech import CHUNK_S, RATE, is_quiet, is_stuck
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading
from rope.errors import UsageError
from rope.media.audio import Sound

__all__ = ["DETECT", "Whisper"]

DETECT: Final = "auto"
"""In place of a language: that which the model hears in each part."""

# A part is nobody's speech where the model thinks so and is not sure of its words either; Whisper's authors' figures.
_NO_SPEECH_PROBABILITY: Final = 0.6
_UNSURE_LOG_PROBABILITY: Final = -1.0


class Whisper:
    """A speech model of the Whisper family; it always takes the likeliest token, so the same sound has the same text.

    Attributes:
        name: where it was loaded from.
        language: a code such as `zh`, or `auto`.
        fingerprint: changes with all that decides the words, see `fingerprint_of`; not with `batch_size`.

    Args:
        source: on the Hub, or a folder, as `openai/whisper-large-v3-turbo`.
        language: a code that the model knows, or `auto`; ignored by a model that only knows English.
        precision: `fp32`, `bf16` or `fp16`.
        device: see `rope.encoders.running.choose_device`.
        batch_size: parts that are heard together.

    Raises:
        UsageError: the model is unknown, or it does not know the language.
    """

    def __init__(
        self, source: str, *, language: str, precision: str = "fp32", device: str = "auto", batch_size: int = 8
    ) -> None:
        place, dtype = choose_device(device), choose_dtype(precision)
        with loading(source, "WhisperForConditionalGeneration of transformers"):
            model: Any = WhisperForConditionalGeneration.from_pretrained(source, dtype=dtype)
            self._processor: Any = WhisperProcessor.from_pretrained(source)
        self._model = model.to(place).eval()
        self._speaks = _spoken(model.generation_config, language, source)
        self.batch_size = batch_size
        self.name, self.language = source, language
        self.fingerprint = fingerprint_of(self, without=["name", "batch_size"])

    def hear(self, sounds: Sequence[Sound]) -> list[str]:
        """The text of each part of a sound at 16 kHz, float32 [n] of at most 30 s; empty where nobody speaks.

        That is where no 20 ms are louder than -60 dB, where the model gives "no speech" more than 0.6 and its words
        less than e^-1 each in the geometric mean, and where the text goes round in circles.
        """
        texts = [""] * len(sounds)
        loud = [i for i, sound in enumerate(sounds) if not is_quiet(sound)]
        for start in range(0, len(loud), self.batch_size):
            some = loud[start : start + self.batch_size]
            for i, text in zip(some, self._batch([sounds[i] for i in some]), strict=True):
                texts[i] = "" if is_stuck(text) else text.strip()
        return texts

    @torch.inference_mode()
    def _batch(self, sounds: Sequence[Sound]) -> list[str]:
        assert all(len(sound) <= CHUNK_S * RATE for sound in sounds)
        given = self._processor(list(sounds), sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        with _quietly():
            tokens = self._model.generate(
                given["input_features"].to(self._model.device, self._model.dtype),
                attention_mask=given["attention_mask"].to(self._model.device),
                do_sample=False,
                num_beams=1,
                temperature=0.0,
                no_speech_threshold=_NO_SPEECH_PROBABILITY,
                logprob_threshold=_UNSURE_LOG_PROBABILITY,
                **self._speaks,
            )
        found: list[str] = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return found


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice that transformers gives about arguments that it sets itself."""
    level = get_verbosity()
    set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        set_verbosity(level)


def _spoken(config: Any, language: str, source: str) -> dict[str, str | None]:  # noqa: ANN401 -- of transformers
    """The language arguments of `generate`.

    Raises:
        UsageError: the model does not know it.
    """
    if not getattr(config, "is_multilingual", False):
        if language not in ("en", DETECT):
            raise UsageError(f"{source}: knows only English; give --language en, or choose another model")
        return {}
    known = [token.strip("<|>") for token in config.lang_to_id]
    if language not in (DETECT, *known):
        raise UsageError(f"{source}: does not know the language {language!r}; it knows {', '.join(sorted(known))}")
    return {"task": "transcribe", "language": None if language == DETECT else language}
