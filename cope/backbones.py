"""Pretrained models of transformers in the places of COPE's towers: frozen, with LoRA, or trained.

Images are prepared by the model's own processor, and texts by its own tokenizer. A saved COPE keeps the configurations,
so that it is rebuilt from its folder alone.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from cope.config import BackboneConfig, CopeConfig
from cope.initial_weights import POSITION_DEVIATION, draw_layers
from cope.vision import multi_frame_transformer
from rope.encoders.vectors import POOLER, choose_tokens, has_projection, one_vector
from rope.encoders.weights import loading, refuse_missing
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["BackboneText", "BackboneVision", "FrameEncoder"]

_GREY: Final = 128
_LORA_SCALE: Final = 2
_MODEL_FILE: Final = "config.json"
_PROCESSOR_FILE: Final = "preprocessor_config.json"


class ImagePreparation:
    """The image processor of a model, frame by frame.

    Args:
        source: the model, for error texts.
        processor: of transformers.
    """

    def __init__(self, source: str, processor: Any) -> None:  # noqa: ANN401
        self._source, self._processor = source, processor

    def __call__(self, frames: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        """float32 [t, 3, h, w] of t frames uint8 [height, width, 3] of any size.

        Raises:
            UsageError: the processor gives something other than the pixels of one image.
        """
        return torch.cat([self._one(frame) for frame in frames])

    def _one(self, frame: npt.NDArray[np.uint8]) -> torch.Tensor:
        made = torch.as_tensor(self._processor(images=Image.fromarray(frame), return_tensors="pt")["pixel_values"])
        if made.ndim < 4 or made.numel() != made.shape[-3:].numel():
            raise UsageError(
                f"{self._source}: its processor makes pixels {list(made.shape)} of one image, expected [1, 3, height, "
                "width]; choose a model that takes whole images"
            )
        return made.reshape(1, *made.shape[-3:]).float()


class FrameEncoder(nn.Module):
    """A pretrained image or video model and its image processor.

    Attributes:
        config: as given, with `architecture` and `tokens` as they were found.
        prepare: frames as they are stored to pixels.
        n_frames: how many frames a video model takes; None for an image model, which sees them one by one.
        width: of its features.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        model, processor, self.config = _load_vision(config)
        self.prepare = ImagePreparation(config.backbone, processor)
        self.n_frames = _n_frames_of(model)
        self.model = _tuned(_without_tower(model, "text"), config)
        pixels = self.prepare([np.full((64, 64, 3), _GREY, np.uint8)])
        with torch.no_grad():
            self.width = self.eval()(pixels[None]).shape[-1]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features [b, t, width] of the frames of b clips [b, t, 3, h, w]; [b, 1, width] of a video model.

        To a video model, a page is a clip that shows one frame all the time.
        """
        n_clips, n_frames = pixels.shape[:2]
        if self.n_frames is None:
            return self._features(pixels.flatten(0, 1)).reshape(n_clips, n_frames, -1)
        if n_frames not in (1, self.n_frames):
            raise UsageError(f"{self.config.backbone}: takes {self.n_frames} frames; set num_frames to that")
        return self._features(pixels.expand(-1, self.n_frames, -1, -1, -1))[:, None]

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        model: Any = self.model
        encode = getattr(model, "get_video_features", None) if self.n_frames else None
        encode = encode or getattr(model, "get_image_features", model)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.tuning != "frozen"):
            found = encode(pixel_values=pixels)
        return one_vector(self.config.backbone, model, found, self.config.tokens or "pooler")

    def train(self, mode: bool = True) -> "FrameEncoder":
        """As of any module; but a frozen model drops nothing and keeps its statistics."""
        return super().train(mode and self.config.tuning != "frozen")


class BackboneVision(nn.Module):
    """A visual tower for all domains: frames through a pretrained model, then COPE's multi-frame transformer or a mean.

    Args:
        config: with `vision`.
    """

    def __init__(self, config: CopeConfig) -> None:
        super().__init__()
        assert config.vision is not None
        self.encoder = FrameEncoder(config.vision)
        if self.encoder.n_frames not in (None, config.num_frames):
            raise UsageError(
                f"{config.vision.backbone}: takes {self.encoder.n_frames} frames, but num_frames is "
                f"{config.num_frames}; set it to that"
            )
        self.visual_projection = nn.Linear(self.encoder.width, config.feature_dim, bias=False)
        draw_layers(self.visual_projection)
        self.mit = multi_frame_transformer(config) if config.vision.frames == "transformer" else None
        if self.mit is not None:
            draw_layers(self.mit)
            nn.init.normal_(self.mit.position_embedding, std=POSITION_DEVIATION)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features [b, feature_dim], not normalised, of b clips.

        Args:
            frames: what the encoder's `prepare` makes, [b, t, 3, h, w]; or what the encoder makes of it, [b, t, width].
        """
        features = self.visual_projection(self.encoder(frames) if frames.ndim == 5 else frames)
        joined: torch.Tensor = features.mean(dim=1) if self.mit is None else self.mit(features).pooler_output
        return joined


class BackboneText(nn.Module):
    """A pretrained text model: the features of one that has two towers, else a state or the mean of all.

    Attributes:
        config: as given, with `architecture` and `tokens` as they were found.
        pads: whether texts are padded to the full length, as models of two towers were trained.
        width: of its features.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        model, self.config = _load_text(config)
        self.pads = hasattr(model, "get_text_features")
        self.model = _tuned(_without_tower(model, "vis"), config)
        with torch.no_grad():
            self.width = self.eval()(torch.ones(1, 2, dtype=torch.int64), torch.ones(1, 2)).shape[-1]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Features [b, width] of b texts.

        Args:
            input_ids: tokens, integers [b, length]; or features that this tower made before, float32 [b, width].
            attention_mask: [b, length], 1 for a token and 0 for padding; features have no use for it.
        """
        if input_ids.is_floating_point():
            return input_ids
        model: Any = self.model
        encode = model.get_text_features if self.pads else model
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.tuning != "frozen"):
            found = encode(input_ids=input_ids, attention_mask=attention_mask)
        if self.pads or self.config.tokens == "pooler":
            return one_vector(self.config.backbone, model, found, "pooler")
        states: torch.Tensor = found.last_hidden_state
        if self.config.tokens == "cls":
            return states[:, 0].float()
        mask = attention_mask[:, :, None].to(states.dtype)
        return ((states * mask).sum(dim=1) / mask.sum(dim=1)).float()

    def train(self, mode: bool = True) -> "BackboneText":
        """As of any module; but a frozen model drops nothing."""
        return super().train(mode and self.config.tuning != "frozen")


def _load_vision(config: BackboneConfig) -> tuple[Any, Any, BackboneConfig]:
    """Model, image processor and what was found; from the Hub or a folder, or from the architecture alone."""
    images: Any = AutoImageProcessor
    models: Any = AutoModel
    if config.architecture is not None:
        with TemporaryDirectory() as folder:
            _write_architecture(Path(folder), config.architecture)
            model: Any = models.from_config(AutoConfig.from_pretrained(folder))
            return model, images.from_pretrained(folder, backend="pil"), config
    with loading(config.backbone, "AutoModel of transformers", may_lack=POOLER) as found:
        model = AutoModel.from_pretrained(config.backbone, dtype=torch.float32)
        processor = images.from_pretrained(config.backbone, backend="pil")
    if has_projection(model) or config.tokens == "pooler":
        refuse_missing(config.backbone, found.lacking)
    tokens = config.tokens or choose_tokens(config.backbone, model, found.lacking)
    return model, processor, replace(config, tokens=tokens, architecture=_architecture(model, processor))


def _load_text(config: BackboneConfig) -> tuple[Any, BackboneConfig]:
    models: Any = AutoModel
    if config.architecture is not None:
        with TemporaryDirectory() as folder:
            _write_architecture(Path(folder), config.architecture)
            return models.from_config(AutoConfig.from_pretrained(folder)), config
    with loading(config.backbone, "AutoModel of transformers", may_lack=POOLER) as found:
        model: Any = AutoModel.from_pretrained(config.backbone, dtype=torch.float32)
    if config.tokens == "pooler" or has_projection(model):
        refuse_missing(config.backbone, found.lacking)
    return model, replace(config, architecture=_architecture(model))


def _architecture(model: Any, processor: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """What of a model and its processor has to be known to make them again, by the names of their files."""
    parts = {_MODEL_FILE: model.config}
    if processor is not None:
        parts[_PROCESSOR_FILE] = processor
    return {name: json.loads(part.to_json_string()) for name, part in parts.items()}


def _write_architecture(folder: Path, architecture: dict[str, Any]) -> None:
    for name in (_MODEL_FILE, _PROCESSOR_FILE):
        if name in architecture:
            (folder / name).write_text(json.dumps(architecture[name]), "utf-8")


def _n_frames_of(model: Any) -> int | None:  # noqa: ANN401
    """How many frames a video model takes; None for an image model."""
    config = model.config
    n_frames = getattr(config, "num_frames", None) or getattr(
        getattr(config, "vision_config", None), "num_frames", None
    )
    return int(n_frames) if n_frames else None


def _without_tower(model: Any, name: Literal["text", "vis"]) -> Any:  # noqa: ANN401
    """The model without the other tower of a pair, whose weights nothing would use, nor what scales similarities."""
    for part in [part for part, _ in model.named_children() if has_projection(model) and part.startswith(name)]:
        setattr(model, part, None)
    for scale in ("logit_scale", "logit_bias"):
        if isinstance(getattr(model, scale, None), nn.Parameter):
            getattr(model, scale).requires_grad_(False)
    return model


def _tuned(model: Any, config: BackboneConfig) -> Any:  # noqa: ANN401
    """The model with the weights that are trained, and no others, asking for gradients."""
    if config.tuning == "trained":
        return model
    model.requires_grad_(False)
    if config.tuning == "frozen":
        return model
    with needed_by("tuning: lora", "lora"):
        from peft import LoraConfig, inject_adapter_in_model
    try:
        return inject_adapter_in_model(
            LoraConfig(r=config.lora_rank, lora_alpha=_LORA_SCALE * config.lora_rank, target_modules="all-linear"),
            model,
        )
    except ValueError as error:
        raise UsageError(
            f"{config.backbone}: LoRA adds to linear layers, and finds none ({str(error).splitlines()[0]}); choose "
            "`tuning: frozen` or `trained`"
        ) from error
