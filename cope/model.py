"""The model: one visual tower for all domains, a text tower, a projection for each domain."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn.functional import normalize

from cope.backbones import BackboneText, BackboneVision
from cope.checkpoint import read_checkpoint, write_checkpoint
from cope.config import CopeConfig
from cope.convolutions import ConvolutionalTower
from cope.text import embed_texts, text_tower
from cope.views import AmpereViews, Views
from cope.vision import VisualTower
from rope.encoders.weights import check_weights

__all__ = ["Cope", "EncodedClips", "EncodedPages", "with_weights"]


class EncodedPages(NamedTuple):
    """Pages, as [b, embedding_dim] each.

    Attributes:
        unit: the embeddings, of length 1.
        fused: the same before normalisation.
        visual: projection of the image only.
        text: projection of the title only.
    """

    unit: torch.Tensor
    fused: torch.Tensor
    visual: torch.Tensor
    text: torch.Tensor


class EncodedClips(NamedTuple):
    """Videos or live clips, as [b, embedding_dim] each.

    Attributes:
        unit: the embeddings, of length 1.
        projected: the same before normalisation; frames and text fused where the text of the domain is read.
        visual: projection of the frames only.
        text: projection of the text only; None where it is not read.
    """

    unit: torch.Tensor
    projected: torch.Tensor
    visual: torch.Tensor
    text: torch.Tensor | None


class Cope(nn.Module):
    """COPE (Bai et al., ICCV 2023): pages, videos and live clips of one product become neighbours.

    A page is its image and its title: each has a projection, and a linear layer fuses the two. Videos and live clips
    are their frames only, as in the released code, and have a projection each. With all domains in
    `config.text_domains` this is AMPere (Zhao et al., 2024): videos and live clips have a text too, and a projection
    and a fusion for it as pages have.

    Weights are drawn from torch's global generator; seed it first for the same model twice.

    Towers may be pretrained models (`config.vision`, `config.text`). Then pixels are what the tower's `prepare` makes,
    or, [b, t, width], the features that a frozen tower made of them before; and the same goes for tokens, see
    `cope.tower_cache`.

    Args:
        config: sizes.

    >>> _ = torch.manual_seed(0)
    >>> model = Cope(CopeConfig(image_size=32, vision_width=64, vision_layers=1, feature_dim=64, text_layers=1,
    ...                         text_width=64, text_heads=1, text_mlp_width=64, vocabulary=50)).eval()
    >>> pages = model.encode_pages(torch.zeros(2, 1, 3, 32, 32), torch.tensor([[1, 2]] * 2), torch.ones(2, 2))
    >>> pages.unit.shape, model.encode_videos(torch.zeros(2, 8, 3, 32, 32)).unit.shape
    (torch.Size([2, 128]), torch.Size([2, 128]))
    """

    def __init__(self, config: CopeConfig) -> None:
        super().__init__()
        self.vision = _visual_tower(config)
        self.text = text_tower(config) if config.text is None else BackboneText(config.text)
        if isinstance(self.vision, BackboneVision):
            config = replace(config, vision=self.vision.encoder.config)
        text_width = config.text_width
        if isinstance(self.text, BackboneText):
            config, text_width = replace(config, text=self.text.config), self.text.width
        self.config = config
        self.page_text = nn.Linear(text_width, config.embedding_dim)
        self.page_visual = nn.Linear(config.feature_dim, config.embedding_dim)
        self.page_fusion = nn.Linear(2 * config.embedding_dim, config.embedding_dim)
        self.video = nn.Linear(config.feature_dim, config.embedding_dim)
        self.live = nn.Linear(config.feature_dim, config.embedding_dim)
        if config.has_clip_texts:
            self.video_text = nn.Linear(text_width, config.embedding_dim)
            self.video_fusion = nn.Linear(2 * config.embedding_dim, config.embedding_dim)
            self.live_text = nn.Linear(text_width, config.embedding_dim)
            self.live_fusion = nn.Linear(2 * config.embedding_dim, config.embedding_dim)

    def encode_pages(self, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> EncodedPages:
        """Embed b pages.

        Args:
            pixels: the images, [b, 1, 3, image_size, image_size], normalised by ImageNet's mean and deviation.
            input_ids: tokens of the titles, integers [b, length].
            attention_mask: [b, length], 1 for a token and 0 for padding.

        Raises:
            ValueError: there is not one image a page, or it has another size.
        """
        if pixels.ndim not in self._dimensions or pixels.shape[1] != 1:
            raise ValueError(f"expected pixels [pages, 1, 3, side, side], got {list(pixels.shape)}")
        text = self.page_text(embed_texts(self.text, input_ids, attention_mask))
        visual = self.page_visual(self.vision(pixels))
        fused = self.page_fusion(torch.cat([text, visual], dim=1))
        return EncodedPages(normalize(fused), fused, visual, text)

    def encode_videos(
        self,
        pixels: torch.Tensor,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> EncodedClips:
        """Embed b videos.

        Args:
            pixels: the frames, [b, num_frames, 3, image_size, image_size], normalised as those of pages.
            input_ids: tokens of the texts, integers [b, length], where the model reads them; a video
                without a text has the tokens of the empty marker. Else None.
            attention_mask: [b, length], 1 for a token and 0 for padding; None where `input_ids` is.

        Raises:
            ValueError: there is another number of frames, they have another size, or a text is given or not given
                against `config.text_domains`.
        """
        return self._encode_clips("video", self._clip_features(pixels), input_ids, attention_mask)

    def encode_lives(
        self,
        pixels: torch.Tensor,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> EncodedClips:
        """Embed b live clips; as `encode_videos`, with the layers of live clips."""
        return self._encode_clips("live", self._clip_features(pixels), input_ids, attention_mask)

    def forward(
        self,
        pages: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        videos: torch.Tensor,
        lives: torch.Tensor,
        *clip_texts: torch.Tensor,
    ) -> Views | AmpereViews:
        """What the losses compare, of b products with a page, a video and a live clip each.

        Videos and live clips go through the visual tower as one batch.

        Args:
            pages: as in `encode_pages`, and so are the next two.
            input_ids: tokens of the titles.
            attention_mask: which of them are not padding.
            videos: as in `encode_videos`.
            lives: as in `encode_lives`.
            clip_texts: where they are read, tokens and mask of the videos' texts, then of the live clips'.

        Raises:
            ValueError: pixels have another shape than they should, or there are more or fewer texts.
        """
        page = self.encode_pages(pages, input_ids, attention_mask)
        features = self._clip_features(torch.cat([videos, lives]))
        video = self._encode_clips("video", features[: len(videos)], *clip_texts[:2])
        live = self._encode_clips("live", features[len(videos) :], *clip_texts[2:])
        five = Views(page.fused, page.visual, page.text, video.projected, live.projected)
        if video.text is None or live.text is None:
            return five
        return AmpereViews(*five, video.visual, video.text, live.visual, live.text)

    def _encode_clips(
        self,
        domain: Literal["video", "live"],
        features: torch.Tensor,
        *tokens: torch.Tensor | None,
    ) -> EncodedClips:
        """Project the features of clips, and fuse them with their texts where those are read."""
        input_ids, attention_mask = (*tokens, None, None)[:2]
        if self.config.has_clip_texts != (input_ids is not None and attention_mask is not None):
            wanted = "reads the texts of" if self.config.has_clip_texts else "does not read the texts of"
            raise ValueError(f"this model {wanted} {domain}s: give tokens and mask, or neither, accordingly")
        visual = self.get_submodule(domain)(features)
        if input_ids is None or attention_mask is None:
            return EncodedClips(normalize(visual), visual, visual, None)
        text = self.get_submodule(f"{domain}_text")(embed_texts(self.text, input_ids, attention_mask))
        fused = self.get_submodule(f"{domain}_fusion")(torch.cat([text, visual], dim=1))
        return EncodedClips(normalize(fused), fused, visual, text)

    @property
    def _dimensions(self) -> tuple[int, ...]:
        """How many dimensions pixels have: 5, or the 3 of features in their place."""
        return (5,) if self.config.vision is None else (5, 3)

    def _frame_counts(self, pixels: torch.Tensor) -> tuple[int, ...]:
        """How many frames a clip has; a video model makes one feature of them."""
        return (self.config.num_frames,) if pixels.ndim == 5 else (1, self.config.num_frames)

    def _clip_features(self, pixels: torch.Tensor) -> torch.Tensor:
        n_frames = self.config.num_frames
        if pixels.ndim not in self._dimensions or pixels.shape[1] not in self._frame_counts(pixels):
            raise ValueError(f"expected pixels [clips, {n_frames}, 3, side, side], got {list(pixels.shape)}")
        features: torch.Tensor = self.vision(pixels)
        return features

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors`, `config.json` and a model card, `README.md`, into a folder.

        A card that is there already is kept. The weights come first and the configuration last, so that a folder with
        a configuration is whole.
        """
        write_checkpoint(Path(folder), self.state_dict(), self.config)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], *, revision: str | None = None) -> "Cope":
        """Load what `save_pretrained` wrote, in evaluation mode, on the CPU.

        Args:
            source: a folder, or the name of a repository on the Hugging Face Hub, `ORG/NAME`.
            revision: branch, tag or commit of the repository; by default its main branch.

        Raises:
            UsageError: the folder does not exist and this is not a repository name, the configuration is wrong, or the
                weights cannot be read or do not fit it.
            RopeError: the Hub refuses or cannot be reached.
        """
        config, weights = read_checkpoint(source, revision)
        return with_weights(config, weights, str(source))


def _visual_tower(config: CopeConfig) -> VisualTower | ConvolutionalTower | BackboneVision:
    if config.vision is not None:
        return BackboneVision(config)
    return VisualTower(config) if config.convolutions is None else ConvolutionalTower(config)


def with_weights(config: CopeConfig, weights: dict[str, torch.Tensor], where: str) -> Cope:
    """A model with these weights, in evaluation mode; the global generator is not moved.

    Args:
        config: sizes.
        weights: every entry of the model's `state_dict`, and no other.
        where: what they were read from, for error texts.

    Raises:
        UsageError: a weight is missing, has no place in the model, or has another shape.
    """
    with torch.random.fork_rng(devices=[]):
        model = Cope(config)
    check_weights(weights, model.state_dict(), where)
    model.load_state_dict(weights)
    return model.eval()
