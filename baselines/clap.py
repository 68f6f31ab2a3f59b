"""CLAP as an embedder: the sound of a video or live clip and the text of any sample, in one space.

Source: Wu et al., Large-scale Contrastive Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption
Augmentation, 2023; through transformers. Pictures are not looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from baselines.fusion import fuse
from baselines.options import EmbeddingOptions, read_options
from rope.config import Count, unknown_key, value_of_text
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading
from rope.errors import DatasetError, UsageError
from rope.media.audio import Sound, decode_audio
from rope.schema import EMPTY_TEXT

__all__ = ["Clap", "embedder", "load_clap", "windows"]

_OPTIONS = ("text_weight", "texts", "template", "precision", "device")


class Clap:
    """Sounds and texts as unit vectors of one space.

    Attributes:
        name: `clap`.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.

    Args:
        model: of transformers.
        extractor: its feature extractor.
        tokenizer: its tokenizer.
        clips: windows that are heard of a sound, at most.
        batch_size: windows, or texts, that the model is given at a time.
        options: of those that baselines share: `text_weight`, `texts`, `template`, `precision`, `device`.
    """

    name: str = "clap"

    def __init__(
        self,
        model: Any,  # noqa: ANN401 -- of transformers
        extractor: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        *,
        clips: int,
        batch_size: int,
        options: EmbeddingOptions,
    ) -> None:
        self._model, self._extractor, self._tokenizer = model.eval(), extractor, tokenizer
        self._clips, self._batch_size, self._options = clips, batch_size, options
        self._has_said = False
        self.fingerprint = fingerprint_of(self)

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, dim], every row of length 1.

        The sound is that of the sample's video file or of its sound file: the mean of the vectors of up to `clips`
        windows of 10 s. A sample without sound is embedded by its text only, whatever `text_weight` says, and one
        without text by its sound. One that has neither is given as the text `空`, the release's mark for none, and
        the first is named on stderr: all such are alike, and ties count against a model.

        Raises:
            DatasetError: a sound cannot be decoded; names the sample.
            UsageError: PyAV is not installed.
        """
        sounds = {i: self._windows(sample) for i, sample in enumerate(samples)}
        sounds = {i: parts for i, parts in sounds.items() if parts}
        texts = {i: text for i, sample in enumerate(samples) if (text := self._options.text_of(sample)) is not None}
        mute = [i for i in range(len(samples)) if i not in sounds and i not in texts]
        self._say(samples, mute)
        by_sound = self._embed_sounds(sounds)
        by_text = self._embed_texts(texts | dict.fromkeys(mute, EMPTY_TEXT))
        rows = [fuse(by_sound.get(i), by_text.get(i), self._options.text_weight) for i in range(len(samples))]
        return torch.stack(rows).numpy() if rows else np.zeros((0, 0), np.float32)

    def _windows(self, sample: Sample) -> list[Sound]:
        """The windows of a sample's sound; none where it has no sound, or where only its text counts."""
        media = sample.video or sample.audio
        if media is None or (self._options.text_weight == 1 and self._options.text_of(sample) is not None):
            return []
        try:
            sound = decode_audio(media, self._extractor.sampling_rate)
        except DatasetError as error:
            raise DatasetError(f"{sample.domain} {sample.sample_id}: {error}") from error
        return windows(sound, self._extractor.nb_max_samples, self._clips)

    def _say(self, samples: Sequence[Sample], mute: Sequence[int]) -> None:
        if mute and not self._has_said:
            self._has_said = True
            first = samples[mute[0]]
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(
                f"clap: {first.domain} {first.sample_id} has neither sound nor a text; all such get the same vector"
            )

    @torch.inference_mode()
    def _embed_sounds(self, sounds: Mapping[int, Sequence[Sound]]) -> dict[int, torch.Tensor]:
        """The mean float32 [dim] of the vectors of each sound's windows."""
        flat = [part for parts in sounds.values() for part in parts]
        vectors = [row for start in self._starts(flat) for row in self._hear(flat[start : start + self._batch_size])]
        parts = torch.split(torch.stack(vectors), [len(parts) for parts in sounds.values()]) if vectors else ()
        return {i: part.mean(dim=0) for i, part in zip(sounds, parts, strict=True)}

    def _hear(self, parts: Sequence[Sound]) -> torch.Tensor:
        """float32 [n, dim] of n windows, none longer than the model takes at once.

        A window is never cut at random, as the extractor does with longer sounds; nor taken for longer than it is, as
        it does with one of each batch where models fuse.
        """
        given = self._extractor(list(parts), sampling_rate=self._extractor.sampling_rate, return_tensors="pt")
        features = given["input_features"].to(self._model.device, self._model.dtype)
        is_longer = torch.zeros_like(given["is_longer"], device=self._model.device)
        found: torch.Tensor = self._model.get_audio_features(features, is_longer=is_longer).pooler_output
        return found.float().cpu()

    @torch.inference_mode()
    def _embed_texts(self, texts: Mapping[int, str]) -> dict[int, torch.Tensor]:
        """float32 [dim] of each text."""
        flat, config = list(texts.values()), self._model.config.text_config
        # The text tower numbers positions from behind that of the padding, as RoBERTa does.
        limit = config.max_position_embeddings - config.pad_token_id - 1
        vectors: list[torch.Tensor] = []
        for start in self._starts(flat):
            some = flat[start : start + self._batch_size]
            given = self._tokenizer(some, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            given = given.to(self._model.device)
            found = self._model.get_text_features(given["input_ids"], attention_mask=given["attention_mask"])
            vectors += found.pooler_output.float().cpu()
        return dict(zip(texts, vectors, strict=True))

    def _starts(self, inputs: Sequence[object]) -> range:
        return range(0, len(inputs), self._batch_size)


def windows(sound: Sound, length: int, n: int) -> list[Sound]:
    """At most n windows of a sound, the first at its start and the last at its end, evenly spread.

    No more than cover it; one that is shorter than a window is one itself, and none of a sound of no length.

    >>> [part.tolist() for part in windows(np.arange(5.0), 2, 2)]
    [[0.0, 1.0], [3.0, 4.0]]
    >>> [part.tolist() for part in windows(np.arange(5.0), 2, 9)]
    [[0.0, 1.0], [1.0, 2.0], [3.0, 4.0]]
    """
    if not len(sound):
        return []
    n_wanted, room = min(n, -(-len(sound) // length)), max(0, len(sound) - length)
    return [sound[start : start + length] for start in (room * i // max(1, n_wanted - 1) for i in range(n_wanted))]


def load_clap(source: str, *, clips: int, batch_size: int, options: EmbeddingOptions) -> Clap:
    """Load a model from the Hub or a folder; see `Clap`.

    Raises:
        UsageError: transformers cannot load it, or it lacks weights.
    """
    place, dtype = choose_device(options.device), choose_dtype(options.precision)
    with loading(source, "ClapModel of transformers"):
        model: Any = ClapModel.from_pretrained(source, dtype=dtype)
        extractor = ClapFeatureExtractor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
    return Clap(model.to(place), extractor, tokenizer, clips=clips, batch_size=batch_size, options=options)


def embedder(model: str = "laion/clap-htsat-unfused", clips: str = "6", batch: str = "16", **shared: str) -> Clap:
    """The embedder of `baselines:clap`.

    Args:
        model: Hub id or folder.
        clips: windows of 10 s that are heard of a sound, at most.
        batch: windows, or texts, that the model is given at a time.
        **shared: of `baselines.options.EmbeddingOptions`: `text_weight`, `texts`, `template`, `precision`, `device`.

    Raises:
        UsageError: the model cannot be loaded, or an option does not fit.
    """
    if unknown := sorted(set(shared) - set(_OPTIONS)):
        raise UsageError(unknown_key(unknown[0], ("model", "clips", "batch", *_OPTIONS), "option"))
    n_clips, batch_size = value_of_text(Count, clips, "clips"), value_of_text(Count, batch, "batch")
    return load_clap(model, clips=n_clips, batch_size=batch_size, options=read_options(shared, EmbeddingOptions()))
