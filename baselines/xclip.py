"""X-CLIP as an embedder: its video tower, and its text tower on request.

Source: Ni et al., Expanding Language-Image Pretrained Models for General Video Recognition, 2022. The tower mixes the
frames of a video in every block, so it must be given exactly as many as it was made for (8 in most): a sample with
fewer repeats some by the published rule, and a page shows its one image every time.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, XCLIPModel

from baselines.fusion import FusedEmbedder
from baselines.options import EmbeddingOptions, read_options
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading

__all__ = ["XClip", "embedder", "load_xclip"]


class XClip:
    """Videos and texts to vectors that are not normalised.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: True.
        thread_safe: True.
        exact_frames: how many frames the model was made for.
    """

    has_text: bool = True
    thread_safe: bool = True

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:  # noqa: ANN401
        self._model = model.eval()
        self._processor = processor
        self._tokenizer = tokenizer
        self.exact_frames: int | None = model.config.vision_config.num_frames
        self.fingerprint = fingerprint_of(self)

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, h, w]."""
        # The processor is one of videos: it is given one of a single frame.
        pixels: torch.Tensor = self._processor([Image.fromarray(image)], return_tensors="pt")["pixel_values"]
        return pixels.reshape(pixels.shape[-3:])

    @torch.inference_mode()
    def encode_clips(self, clips: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        """float32 [n, dim] of n videos of `exact_frames` prepared frames.

        Raises:
            ValueError: a video has another number; the model would mix its frames with those of the next.
        """
        if {len(clip) for clip in clips} - {self.exact_frames}:
            raise ValueError(f"X-CLIP takes {self.exact_frames} frames a video, got {sorted(map(len, clips))}")
        pixels = torch.stack([torch.stack(list(clip)) for clip in clips])  # [n, frames, 3, h, w]
        found = self._model.get_video_features(pixel_values=pixels.to(self._model.device, self._model.dtype))
        features: torch.Tensor = found.pooler_output
        return features.float()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        length = self._model.config.text_config.max_position_embeddings
        found = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        features: torch.Tensor = self._model.get_text_features(**found.to(self._model.device)).pooler_output
        return features.float()


def load_xclip(source: str, *, precision: str, device: str) -> XClip:
    """Load X-CLIP from the Hub or a folder.

    Raises:
        UsageError: transformers cannot load it, or it lacks weights.
    """
    place, dtype = choose_device(device), choose_dtype(precision)
    with loading(source, "XCLIPModel of transformers"):
        model: Any = XCLIPModel.from_pretrained(source, dtype=dtype)
        images: Any = AutoImageProcessor
        processor = images.from_pretrained(source, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(source)
    return XClip(model.to(place), processor, tokenizer)


def embedder(model: str = "microsoft/xclip-base-patch16-kinetics-600", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:xclip`.

    Args:
        model: Hub id or folder.
        **shared: see `baselines.options.EmbeddingOptions`; `text_weight` is 0 here, `frames` and `pool` say nothing.
    """
    options = read_options(shared, EmbeddingOptions(text_weight=0))
    return FusedEmbedder("x-clip", load_xclip(model, precision=options.precision, device=options.device), options)
