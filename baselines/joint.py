"""One vector of a sample's image or video and text together: a vision-language model, one forward pass a sample.

What a model of images and a model of texts say apart is summed elsewhere (`baselines.fusion`). Here the frames, as one
video, and the text stand in one prompt, and what the model makes of its last token is the vector. So do

- Qwen3-VL-Embedding (Li et al. 2026, <https://arxiv.org/abs/2601.04720>, section 3.1, and the authors' code,
  <https://github.com/QwenLM/Qwen3-VL-Embedding>): the instruction as the system's message, by default "Represent the
  user's input.", media before the text, padding on the right, the last token that is not padding;
- GME (Zhang et al. 2024, <https://arxiv.org/abs/2412.16855>, and `gme_inference.py` beside its weights): the same with
  the instruction "You are a helpful assistant." and `<|endoftext|>` at the end.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.late_interaction import refuse_many_vectors
from baselines.llm_text import masked_mean
from baselines.options import EmbeddingOptions, read_options
from baselines.roles import InRoles, read_roles
from rope.config import value_of_text
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, refuse_missing
from rope.errors import UsageError
from rope.extras import require
from rope.media import decode_frames

__all__ = ["JointEmbedder", "JointInput", "embedder"]

_INSTRUCTION: Final = "Represent the user's input."
_DECODERS: Final = 4
_HEAD: Final = r"(.*\.)?lm_head\..*"

_Frames = list[npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class JointInput:
    """How a sample becomes the model's input, and its states a vector.

    Attributes:
        instruction: the system's message.
        suffix: what stands after the prompt, such as `<|endoftext|>`.
        pooling: `last`, the state of the last token, or `mean`, that over all tokens.
        fps: frames per second given to the model; where frames were chosen from a longer video, this is by how
            much apart the model takes them to be.
    """

    instruction: str = _INSTRUCTION
    suffix: str = ""
    pooling: Literal["last", "mean"] = "last"
    fps: float = 1.0


class JointEmbedder:
    """A vision-language model of transformers as an embedder.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        abstains: True: a sample without frames, of which no text is read, has no vector.
    """

    abstains: bool = True

    def __init__(self, name: str, model: Any, processor: Any, given: JointInput, options: EmbeddingOptions) -> None:  # noqa: ANN401
        processor.tokenizer.padding_side = "right"  # so that a token's position does not depend on its neighbours
        self.name = name
        self._model, self._processor, self._given, self._options = model.eval(), processor, given, options
        self.fingerprint = fingerprint_of(self)

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, dim], every row of length 1, or NaN where there is nothing to look at.

        Raises:
            DatasetError: a frame cannot be decoded; names the sample.
        """
        texts = [self._options.text_of(sample) for sample in samples]
        there = [i for i, sample in enumerate(samples) if _has_frames(sample) or texts[i] is not None]
        rows: dict[int, torch.Tensor] = {}
        with ThreadPoolExecutor(_DECODERS) as pool:
            decoded = pool.map(self._frames_of, [samples[i] for i in there])
            for part in self._batches(zip(there, decoded, strict=True)):
                found = self._forward([frames for _, frames in part], [texts[i] for i, _ in part])
                rows |= zip((i for i, _ in part), found, strict=True)
        width = len(next(iter(rows.values()))) if rows else 1
        vectors = np.full((len(samples), width), np.nan, np.float32)
        for i, row in rows.items():
            vectors[i] = row.numpy()
        return vectors if len(samples) else np.zeros((0, 0), np.float32)

    def _frames_of(self, sample: Sample) -> _Frames:
        """The frames of a sample, all of the size of the first, as a video needs them."""
        if not _has_frames(sample):
            return []
        n = self._options.frames if not sample.frames else min(self._options.frames, len(sample.frames))
        first, *rest = decode_frames(sample, n)
        height, width = first.shape[:2]
        return [first, *(_resized(frame, width, height) for frame in rest)]

    def _batches(self, given: Any) -> Iterator[list[tuple[int, _Frames]]]:  # noqa: ANN401  pairs, lazily
        part, n_frames = list[tuple[int, _Frames]](), 0
        for i, frames in given:
            part.append((i, frames))
            n_frames += max(1, len(frames))
            if n_frames >= self._options.images:
                yield part
                part, n_frames = [], 0
        if part:
            yield part

    @torch.inference_mode()
    def _forward(self, clips: Sequence[_Frames], texts: Sequence[str | None]) -> torch.Tensor:
        """float32 [n, dim] of n samples in one pass: one frame is an image, several are a video."""
        prompts = [self._prompt(frames, text) for frames, text in zip(clips, texts, strict=True)]
        images = [Image.fromarray(frames[0]) for frames in clips if len(frames) == 1]
        videos = [np.stack(frames) for frames in clips if len(frames) > 1]
        media: dict[str, Any] = {"images": images} if images else {}
        if videos:
            media |= {"videos": videos, "video_metadata": [self._metadata(len(v)) for v in videos]}
            media["do_sample_frames"] = False
        given = self._processor(text=prompts, padding=True, return_tensors="pt", **media).to(self._model.device)
        hidden, mask = self._model(**given).last_hidden_state, given["attention_mask"]
        if self._given.pooling == "mean":
            pooled = masked_mean(hidden, mask)
        else:
            pooled = hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
        return torch.nn.functional.normalize(pooled.float(), dim=-1).cpu()

    def _prompt(self, frames: _Frames, text: str | None) -> str:
        media = [{"type": "video" if len(frames) > 1 else "image"}] if frames else []
        content = [*media, *([{"type": "text", "text": text}] if text is not None else [])]
        conversation = [
            {"role": "system", "content": [{"type": "text", "text": self._given.instruction}]},
            {"role": "user", "content": content},
        ]
        prompt = self._processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        return f"{prompt}{self._given.suffix}"

    def _metadata(self, n_frames: int) -> dict[str, object]:
        return {"fps": self._given.fps, "total_num_frames": n_frames, "frames_indices": list(range(n_frames))}


def embedder(
    model: str,
    instruction: str = _INSTRUCTION,
    suffix: str = "",
    pooling: str = "last",
    fps: str = "1",
    **shared: str,
) -> JointEmbedder | InRoles:
    """The embedder of `baselines:joint?model=Qwen/Qwen3-VL-Embedding-2B`.

    With `query_prompt` or `gallery_prompt`, samples are embedded in roles, and the prompts are the instructions.

    Args:
        model: Hub id or folder: a vision-language model of transformers whose processor takes videos.
        instruction: see `JointInput`.
        suffix: likewise.
        pooling: likewise.
        fps: likewise.
        **shared: see `baselines.options.EmbeddingOptions` and `baselines.roles.read_roles`; `pool` and `text_weight`
            have no meaning here, as nothing is summed.

    Raises:
        UsageError: torchvision is not installed, the model cannot be loaded or takes no videos, or an option does not
            fit.
    """
    prompts, rest = read_roles(shared)
    for name in ("pool", "text_weight"):
        if name in rest:
            raise UsageError(
                f"{name}: frames and text go through {model} together, and nothing is summed; leave it out"
            )
    options = read_options(rest, EmbeddingOptions())
    kind = value_of_text(Literal["last", "mean"], pooling, "pooling")
    given = JointInput(instruction, suffix, kind, value_of_text(float, fps, "fps"))
    if given.fps <= 0:
        raise UsageError(f"fps is {fps}, expected more than 0")
    loaded, processor = _load(model, options)
    name = model.rstrip("/").rpartition("/")[2]
    if prompts.roles != "two":
        return JointEmbedder(name, loaded, processor, given, options)

    def made_of(_: object, prompt: str | None) -> JointEmbedder:
        told = given if prompt is None else JointInput(prompt, suffix, kind, given.fps)
        return JointEmbedder(name, loaded, processor, told, options)

    return InRoles(name, made_of, prompts)


def _load(source: str, options: EmbeddingOptions) -> tuple[Any, Any]:
    require("torchvision", "baselines:joint", "baselines")  # transformers prepares videos with it
    from transformers import AutoModel, AutoProcessor

    refuse_many_vectors(source)
    with loading(source, "AutoModel of transformers", may_lack=_HEAD) as found:
        model = AutoModel.from_pretrained(source, dtype=choose_dtype(options.precision))
        processor: Any = AutoProcessor.from_pretrained(source)  # type: ignore[no-untyped-call]
    refuse_missing(source, [name for name in found.lacking if "lm_head" not in name])
    reader = getattr(processor, "video_processor", None)
    if reader is None or getattr(processor, "tokenizer", None) is None:
        raise UsageError(f"{source}: its processor takes no videos; baselines:transformers_model sums frames and text")
    if hasattr(reader, "cap_pixels_per_frame"):
        reader.cap_pixels_per_frame = True  # as the authors' qwen-vl-utils
    return model.to(choose_device(options.device)), processor


def _has_frames(sample: Sample) -> bool:
    return bool(sample.frames) or sample.video is not None


def _resized(frame: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
