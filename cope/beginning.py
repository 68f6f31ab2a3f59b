"""The model, its tokenizer and its images as they are before the first step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from cope.backbones import BackboneVision
from cope.convolutions import ConvolutionalTower
from cope.initial_weights import draw_visual_tower
from cope.model import Cope
from cope.pixels import Augment, reading_size
from cope.pretrained import load_text_tower, load_visual_tower
from cope.recipe import TrainingRecipe
from cope.titles import character_tokenizer, load_tokenizer
from cope.tower_cache import CachedReader, TowerCache, texts_of
from cope.vision import VisualTower
from rope.domain import DomainName, Sample
from rope.feed import ClipReader
from rope.feed.order import hash64
from rope.feed.records import Clip
from rope.media import decode_frames

__all__ = ["PreparedReader", "make_model", "make_reader"]


def make_model(directory: Path, recipe: TrainingRecipe) -> tuple[Cope, PreTrainedTokenizerBase]:
    """Model and tokenizer of a recipe, on the CPU; `recipe.seed` decides what is drawn.

    Raises:
        UsageError: weights or a tokenizer cannot be loaded.
        DatasetError: the texts for making a tokenizer, if none is named, cannot be read.
    """
    tokenizer = _tokenizer(directory, recipe)
    torch.manual_seed(recipe.seed)
    model = Cope(replace(recipe.model, vocabulary=max(recipe.model.vocabulary, len(tokenizer))))
    if recipe.vision_weights is not None:
        load_visual_tower(model, recipe.vision_weights)
    elif isinstance(model.vision, VisualTower):
        draw_visual_tower(model.vision)
    if recipe.text_weights is not None:
        load_text_tower(model, recipe.text_weights)
    if recipe.activation_checkpointing and not isinstance(model.vision, ConvolutionalTower):  # as recipes refuse it
        tower = model.vision.encoder.model if isinstance(model.vision, BackboneVision) else model.vision
        tower.activation_checkpointing_enable()
    if recipe.compile:
        model.vision.compile()
    return model, tokenizer


def make_reader(
    recipe: TrainingRecipe, model: Cope, cache: TowerCache | None
) -> "ClipReader | PreparedReader | CachedReader":
    """How training samples become what the visual tower takes."""
    size = recipe.model.image_size
    if cache is not None and cache.frames is not None:
        return CachedReader(cache)
    if isinstance(model.vision, BackboneVision):
        augment = Augment(None, recipe.crop, recipe.flip, recipe.jitter) if recipe.augments else None
        return PreparedReader(recipe.model.num_frames, model.vision.encoder.prepare, augment)
    return ClipReader(
        n_frames=recipe.model.num_frames,
        size=reading_size(size, recipe.crop),
        transform=Augment(size, recipe.crop, recipe.flip, recipe.jitter),
    )


@dataclass(frozen=True, slots=True)
class PreparedReader:
    """Replaces a `rope.feed.ClipReader`: frames as stored, augmented, then as a pretrained model needs them.

    Attributes:
        n_frames: of a video or live clip; a page has one.
        prepare: n frames uint8 [height, width, 3] -> float32 [n, 3, h, w].
        augment: what is changed at random; None changes nothing.
    """

    n_frames: int
    prepare: Callable[[list[npt.NDArray[np.uint8]]], torch.Tensor]
    augment: Augment | None

    def wanted(self, domain: DomainName) -> int:
        """How many frames of a sample of this domain are decoded."""
        return 1 if domain == "page" else self.n_frames

    def read(self, sample: Sample, seed: int, epoch: int) -> Clip:
        """Decode a sample; what is drawn follows from the sample, seed and epoch alone."""
        frames = decode_frames(sample, self.wanted(sample.domain))
        if self.augment is not None:
            rng = np.random.default_rng(hash64(f"transform-{sample.domain}", seed, epoch, sample.sample_id))
            frames = self.augment.frames(frames, rng)
        return Clip(sample.sample_id, sample.text, self.prepare(frames))


def _tokenizer(directory: Path, recipe: TrainingRecipe) -> PreTrainedTokenizerBase:
    text = recipe.model.text
    source = recipe.tokenizer or (text.backbone if text is not None else None)
    if source is None:
        texts = texts_of(directory, recipe.model.text_domains, ["train"])
        tokenizer = character_tokenizer(texts, recipe.model.vocabulary)
    else:
        tokenizer = load_tokenizer(source)
    tokenizer.model_max_length = recipe.max_tokens
    return tokenizer
