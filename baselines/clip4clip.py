"""CLIP4Clip as an embedder: frames through CLIP and a temporal head, texts through CLIP.

Source: Luo et al., 2021; the authors' released code and `pytorch_model.bin.N`. It was made for text-to-video search.
Here a video or live clip is its frames, a page its one image (a video of one frame), and a text adds CLIP's text
vector, see `baselines.options.EmbeddingOptions`.
"""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer

from baselines.clip4clip_checkpoint import Clip4ClipWeights, read_clip4clip
from baselines.clip4clip_heads import SeqTransf, TightTransf, pool_video
from baselines.fusion import FusedEmbedder
from baselines.options import EmbeddingOptions, read_options
from rope.config import Count, value_of_text
from rope.encoders.identity import fingerprint_of
from rope.encoders.pixels import clip_pixels
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, note
from rope.errors import UsageError

__all__ = ["MAX_WORDS", "Clip4Clip", "embedder", "load_clip4clip", "rerank", "tokenize"]

MAX_WORDS: Final = 32
_DEFAULTS: Final = EmbeddingOptions(frames=12)
_TOKENIZER: Final = "openai/clip-vit-base-patch32"


class Clip4Clip:
    """The towers and the head. CLIP computes in the given precision, the head in float32, as the authors' do.

    Attributes:
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        has_text: True.
        thread_safe: True.
        exact_frames: None; a video has up to `max_frames`.
        max_frames: rows of the table of positions, where the head has one that its vectors depend on; else None.
        head: the name of the head.
    """

    has_text: bool = True
    thread_safe: bool = True
    exact_frames: int | None = None

    def __init__(self, weights: Clip4ClipWeights, tokenizer: Any, precision: str, device: str) -> None:  # noqa: ANN401
        place = choose_device(device)
        clip: Any = weights.clip
        self._clip = clip.eval().to(place, choose_dtype(precision))
        self._head = weights.head.eval().to(place)
        self._tokenizer = tokenizer
        self._device, self._dtype = place, choose_dtype(precision)
        self._side: int = self._clip.config.vision_config.image_size
        self._max_words = min(MAX_WORDS, clip.config.text_config.max_position_embeddings)
        self.head = weights.head_name
        head = weights.head
        self.max_frames = len(head.frame_position_embeddings.weight) if isinstance(head, SeqTransf) else None
        self.fingerprint = fingerprint_of(self)

    def prepare(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """uint8 [height, width, 3] to float32 [3, side, side]."""
        return clip_pixels(image, self._side)

    @torch.inference_mode()
    def encode_clips(self, clips: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        """float32 [n, dim] of n videos of prepared frames, each of length 1; for tightTransf that of meanP."""
        frames, mask = self.encode_frames(clips)
        after = frames if isinstance(self._head, TightTransf) else self._head(frames, mask)
        return pool_video(after, mask)

    @torch.inference_mode()
    def encode_frames(self, clips: Sequence[Sequence[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """CLIP's vectors float32 [n, T, dim] before the head, with zeros after a video's end, and the mask [n, T]."""
        pixels = torch.stack([frame for clip in clips for frame in clip]).to(self._device, self._dtype)
        found = self._clip.get_image_features(pixel_values=pixels).pooler_output.float()
        lengths = [len(clip) for clip in clips]
        padded = torch.nn.utils.rnn.pad_sequence(list(torch.split(found, lengths)), batch_first=True)
        steps = torch.arange(padded.shape[1], device=self._device)
        return padded, (steps < torch.tensor(lengths, device=self._device)[:, None]).float()

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts, not normalised."""
        if self._tokenizer is None:
            raise UsageError("this CLIP4Clip was loaded without a tokenizer")
        return self.encode_tokens(tokenize(self._tokenizer, texts, self._max_words))

    @torch.inference_mode()
    def encode_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        """float32 [n, dim] of token ids [n, words]. A mask is not needed: no token sees the padding after it."""
        found = self._clip.get_text_features(input_ids=ids.to(self._device))
        return cast("torch.Tensor", found.pooler_output).float()

    @torch.inference_mode()
    def similarity(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The authors' logits [n texts, m videos] of `encode_texts` and `encode_frames`, by whichever head."""
        if isinstance(self._head, TightTransf):
            rows = [self._head(text.expand(len(frames), -1), frames, mask) for text in texts]
            return torch.stack(rows)
        videos = pool_video(self._head(frames, mask), mask)
        scale = self._clip.logit_scale.float().exp()
        return cast("torch.Tensor", scale * torch.nn.functional.normalize(texts, dim=-1) @ videos.T)


def rerank(model: Clip4Clip, text: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor, top: int) -> torch.Tensor:
    """Order videos for one text: the `top` nearest by the mean of their frames, put in order by the tightTransf head.

    The head looks at a pair at a time, so it can score only a few candidates.

    Args:
        model: with the head tightTransf.
        text: [dim], of `encode_texts`.
        frames: [m, T, dim], of `encode_frames`.
        mask: [m, T].
        top: how many candidates the head scores.

    Returns:
        int64 [m]: the numbers of the videos, best first; those after the first `top` stay in the order of meanP.

    Raises:
        UsageError: the model has another head.
    """
    if model.head != "tightTransf":
        raise UsageError(f"only the head tightTransf re-ranks; this model has {model.head}")
    near = torch.nn.functional.normalize(text, dim=-1) @ pool_video(frames, mask).T
    order = near.argsort(descending=True, stable=True)
    first = order[:top]
    scores = model.similarity(text[None], frames[first], mask[first])[0]
    return torch.cat([first[scores.argsort(descending=True, stable=True)], order[top:]])


def tokenize(tokenizer: Any, texts: Sequence[str], max_words: int = MAX_WORDS) -> torch.Tensor:  # noqa: ANN401
    """int64 [n, max_words]: start, at most max_words - 2 pieces of CLIP's BPE, end, and 0 after.

    HTML entities are undone twice first, as CLIP's own tokenizer does and transformers' does not.
    """
    rows = torch.zeros((len(texts), max_words), dtype=torch.int64)
    for row, text in zip(rows, texts, strict=True):
        plain = html.unescape(html.unescape(text))
        ids = tokenizer(plain, truncation=True, max_length=max_words)["input_ids"]
        row[: len(ids)] = torch.tensor(ids)
    return rows


def load_clip4clip(
    model: str, *, head: str | None, tokenizer: str, precision: str, device: str, cross_heads: int = 8
) -> Clip4Clip:
    """Load a file `pytorch_model.bin.N`; see `read_clip4clip`. Says on stderr when the head has no trained weights.

    Raises:
        UsageError: a file or the tokenizer cannot be read.
    """
    weights = read_clip4clip(Path(model), head=head, cross_heads=cross_heads)
    if not weights.trained:
        note(f"{model} has no weights for {weights.head_name}; it is initialised, not trained")
    if weights.head_name == "tightTransf":
        note("tightTransf has no vectors; these are those of meanP, for `rerank`")
    with loading(tokenizer, "AutoTokenizer of transformers"):
        words = AutoTokenizer.from_pretrained(tokenizer)
    return Clip4Clip(weights, words, precision, device)


def embedder(
    model: str, head: str = "", tokenizer: str = _TOKENIZER, cross_heads: str = "8", **shared: str
) -> FusedEmbedder:
    """The embedder of `baselines:clip4clip?model=pytorch_model.bin.0`.

    Args:
        model: the authors' file.
        head: meanP, seqLSTM, seqTransf or tightTransf; empty for the one that the file has.
        tokenizer: Hub id or folder of CLIP's tokenizer.
        cross_heads: attention heads of tightTransf.
        **shared: see `baselines.options.EmbeddingOptions`; `frames` is 12 here, `pool` says nothing.
    """
    options = read_options(shared, _DEFAULTS)
    encoder = load_clip4clip(
        model,
        head=head or None,
        tokenizer=tokenizer,
        precision=options.precision,
        device=options.device,
        cross_heads=value_of_text(Count, cross_heads, "cross_heads"),
    )
    if encoder.max_frames is not None and options.frames > encoder.max_frames:
        raise UsageError(f"{model}: has positions for {encoder.max_frames} frames; give frames={encoder.max_frames}")
    return FusedEmbedder(f"clip4clip-{encoder.head}", encoder, options)
