"""A trained model as an embedder: `rope-bench run --model cope:PATH`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from cope.backbones import BackboneVision
from cope.model import Cope
from cope.pixels import normalised
from cope.recipe import RECIPE_NAME, read_recipe
from cope.titles import load_tokenizer, tokenize_for
from cope.tower_cache import TowerCache
from rope.config import Count, value_of_text
from rope.domain import DOMAINS, Sample
from rope.encoders.identity import fingerprint_of
from rope.errors import UsageError
from rope.media import decode_frames

__all__ = ["CopeEmbedder", "load_cope_embedder"]


class CopeEmbedder:
    """A model with its tokenizer.

    Args:
        model: in evaluation mode, on the device to work on.
        tokenizer: of the texts.
        name: what reports call it.
        batch_size: samples that go through the towers at a time.
        use_text: whether texts are read.
        training_seed: of the recipe that trained the model; None where it is not known. Results keep it.
        cache: what frozen towers made of the samples; None runs the towers.
    """

    def __init__(
        self,
        model: Cope,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        batch_size: int = 32,
        use_text: bool = True,
        training_seed: int | None = None,
        cache: TowerCache | None = None,
    ) -> None:
        self.name = name
        self.training_seed = training_seed
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._use_text = use_text
        self._cache = cache

    @cached_property
    def fingerprint(self) -> str:
        """Changes with everything that can move a vector, see `fingerprint_of`."""
        return fingerprint_of(self, without=["name"])

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples of one domain as float32 [n, embedding_dim], of length 1.

        Raises:
            UsageError: the domain is none of those that the model has a tower for.
            DatasetError: a sample has no frame, or one that cannot be decoded; names the sample.
        """
        if samples and samples[0].domain not in DOMAINS:
            raise UsageError(
                f"{self.name}: COPE embeds {', '.join(DOMAINS)}; the dataset has {samples[0].domain} too, for which it "
                "has no tower: choose another model, or build the dataset without that domain"
            )
        parts = [samples[i : i + self._batch_size] for i in range(0, len(samples), self._batch_size)]
        made = [self._embed(part) for part in parts]
        return np.concatenate(made) if made else np.empty((0, self._model.config.embedding_dim), np.float32)

    @torch.inference_mode()
    def _embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        config, device = self._model.config, next(self._model.parameters()).device
        pixels = normalised(torch.stack([self._pixels(sample) for sample in samples]).to(device))
        texts: list[torch.Tensor] = []
        if samples[0].domain in config.text_domains:
            read = [sample.text if self._use_text else None for sample in samples]
            if self._cache is not None and self._cache.texts is not None:
                tokens = self._cache.tokens_of(read)
            else:
                tokens = tokenize_for(self._model.text, self._tokenizer, read)
            texts = [part.to(device) for part in tokens]
        match samples[0].domain:
            case "page":
                unit = self._model.encode_pages(pixels, *texts).unit
            case "video":
                unit = self._model.encode_videos(pixels, *texts).unit
            case "live":
                unit = self._model.encode_lives(pixels, *texts).unit
        made: npt.NDArray[np.float32] = unit.float().cpu().numpy()
        return made

    def _pixels(self, sample: Sample) -> torch.Tensor:
        """The frames of a sample: uint8 [t, 3, side, side], or what a pretrained tower takes, or made of them."""
        config, vision = self._model.config, self._model.vision
        n_frames = 1 if sample.domain == "page" else config.num_frames
        if self._cache is not None and self._cache.frames is not None:
            return self._cache.frames_of(sample.domain, sample.sample_id)
        if isinstance(vision, BackboneVision):
            return vision.encoder.prepare(decode_frames(sample, n_frames))
        frames = decode_frames(sample, n_frames, size=(config.image_size, config.image_size))
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def load_cope_embedder(path: str, *, device: str = "", batch_size: str = "32") -> CopeEmbedder:
    """The embedder of a folder that `cope train` wrote, or of a repository on the Hub with a model and a tokenizer.

    Whether titles are read, and the seed of the training run, are as in the recipe, where there is one.

    Args:
        path: with weights and a tokenizer.
        device: `cpu`, `cuda` and so on; by default an accelerator where there is one.
        batch_size: samples at a time; a text, as it comes from `--model cope:PATH?batch_size=64`.

    Raises:
        UsageError: the model is unknown, or an option is wrong.
    """
    n_at_once = value_of_text(Count, batch_size, f"cope:{path}: batch_size")
    recipe_file = Path(path) / RECIPE_NAME
    recipe = read_recipe(str(recipe_file)) if recipe_file.is_file() else None
    return CopeEmbedder(
        Cope.from_pretrained(path).to(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        load_tokenizer(path),
        f"cope:{Path(path).name}",
        batch_size=n_at_once,
        use_text=recipe is None or recipe.use_text,
        training_seed=None if recipe is None else recipe.seed,
    )
