"""A model of frames and a model of texts as one embedder: frames decoded in threads, pooling, the sum of both."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from baselines.options import EmbeddingOptions, Pooling
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device
from rope.errors import UsageError
from rope.media import decode_frames

__all__ = ["ClipEncoder", "FusedEmbedder", "ImageEncoder", "PooledImages", "fuse", "pool_frames"]

_DECODERS: Final = 4
"""Threads that decode and prepare frames for a model that computes elsewhere, or in one thread alone."""

_ON_A_CORE: Final = 16
"""Frames that a core computes at a time, at most: enough to be quick, and few enough to share out evenly."""

T = TypeVar("T")


class ImageEncoder(Protocol):
    """A model of single images and, where `has_text`, of texts.

    `prepare` is called from several threads, and where `thread_safe` so is `encode_images`. Vectors need not have
    length 1.
    """

    fingerprint: str
    has_text: bool
    thread_safe: bool

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401  each model has its own input
        """Turn one image, uint8 [height, width, 3], into the model's input."""
        ...

    def encode_images(self, prepared: Sequence[Any]) -> torch.Tensor:
        """float32 [n, dim] of n prepared images."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts; called only where `has_text`."""
        ...


class ClipEncoder(Protocol):
    """A model of sequences of frames and, where `has_text`, of texts.

    Threads call it as they do an `ImageEncoder`. `exact_frames` is the number that it must be given, or None where any
    number will do.
    """

    fingerprint: str
    has_text: bool
    thread_safe: bool
    exact_frames: int | None

    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401  each model has its own input
        """Turn one frame, uint8 [height, width, 3], into the model's input."""
        ...

    def encode_clips(self, clips: Sequence[Sequence[Any]]) -> torch.Tensor:
        """float32 [n, dim] of n clips of prepared frames."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts; called only where `has_text`."""
        ...


class PooledImages:
    """An image model as a model of clips: every frame on its own, then pooled."""

    exact_frames: int | None = None

    def __init__(self, encoder: ImageEncoder, pool: Pooling) -> None:
        self._encoder = encoder
        self._pool: Pooling = pool
        self.has_text = encoder.has_text
        self.thread_safe = encoder.thread_safe
        self.prepare = encoder.prepare
        self.encode_texts = encoder.encode_texts
        self.fingerprint = fingerprint_of(self)

    def encode_clips(self, clips: Sequence[Sequence[Any]]) -> torch.Tensor:
        """float32 [n, dim] of n clips; where only the first frame counts, no other is looked at."""
        used = [clip[:1] for clip in clips] if self._pool == "first" else clips
        frames = self._encoder.encode_images([frame for clip in used for frame in clip])
        parts = torch.split(frames, [len(clip) for clip in used])
        return torch.stack([pool_frames(part, self._pool) for part in parts])


class FusedEmbedder:
    """An embedder of frames and texts, see `baselines.options.EmbeddingOptions`.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a vector, see `fingerprint_of`.
        abstains: True, see `rope.bench.running.embedder.Embedder`.
        spent: how much of the time the model waited for frames.
    """

    abstains: bool = True

    def __init__(self, name: str, encoder: ClipEncoder, options: EmbeddingOptions) -> None:
        if options.text_weight > 0 and not encoder.has_text:
            raise UsageError(f"{name} has no text tower that can be used; give text_weight=0")
        self.name = name
        self._encoder = encoder
        self._options = options
        self.fingerprint = fingerprint_of(self)
        self._waited_s: list[float] = []  # appended to by several threads
        self._computed_s: list[float] = []

    @property
    def spent(self) -> str:
        """A sentence on how much of its time, summed over the threads that compute, the model waited for frames."""
        waited, computed = sum(self._waited_s), sum(self._computed_s)
        if not waited:
            return ""
        share = waited / (waited + computed)
        return f"{self.name}: the model waited for decoded and prepared frames for {share:.0%} of the time"

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """Embed n samples as float32 [n, dim], every row of length 1, or NaN where there is nothing to look at.

        Raises:
            DatasetError: a sample has a frame that cannot be decoded; names the sample.
        """
        weight = self._options.text_weight
        texts = [self._options.text_of(sample) if weight or self._needs_text(sample) else None for sample in samples]
        # Where only the text counts, only samples without one are decoded.
        seen = [i for i, text in enumerate(texts) if _is_seen(samples[i]) and (text is None or weight < 1)]
        read = [i for i, text in enumerate(texts) if text is not None]
        frame_vectors = self._embed_frames([samples[i] for i in seen])
        text_vectors = self._embed_texts([text for text in texts if text is not None])
        by_frames = dict(zip(seen, frame_vectors, strict=True))
        by_text = dict(zip(read, text_vectors, strict=True))
        there = sorted({*by_frames, *by_text})
        rows = [fuse(by_frames.get(i), by_text.get(i), weight) for i in there]
        found = np.full((len(samples), len(rows[0]) if rows else 1), np.nan, np.float32)
        if rows:
            found[there] = torch.stack(rows).numpy()
        return found if len(samples) else np.zeros((0, 0), np.float32)

    def _needs_text(self, sample: Sample) -> bool:
        """Whether a text is all that the model could embed."""
        return self._encoder.has_text and not _is_seen(sample)

    def _embed_frames(self, samples: Sequence[Sample]) -> list[torch.Tensor]:
        """On a processor each core takes small chunks from files to vectors; for an accelerator, threads decode ahead.

        So no core waits for another, and no number depends on how many there are.
        """
        images = self._options.images
        if self._encoder.thread_safe and choose_device(self._options.device).type == "cpu":
            with _one_core_each(torch.get_num_threads()) as pool:
                parts = pool.map(self._embed_chunk, _chunks(samples, self._n_frames, min(images, _ON_A_CORE)))
                return [row for part in parts for row in part]
        with ThreadPoolExecutor(_DECODERS) as pool:
            chunks = _chunks(_timed(pool.map(self._prepare, samples), self._waited_s), len, images)
            return [row for clips in chunks for row in self._encode(clips)]

    def _embed_chunk(self, samples: Sequence[Sample]) -> torch.Tensor:
        return self._encode([*_timed(map(self._prepare, samples), self._waited_s)])

    @torch.inference_mode()
    def _encode(self, clips: Sequence[Sequence[Any]]) -> torch.Tensor:
        started = perf_counter()
        vectors = self._encoder.encode_clips(clips).float().cpu()
        self._computed_s.append(perf_counter() - started)
        return vectors

    @torch.inference_mode()
    def _embed_texts(self, texts: Sequence[str]) -> list[torch.Tensor]:
        step = self._options.images
        starts = range(0, len(texts), step)
        return [row for i in starts for row in self._encoder.encode_texts(texts[i : i + step]).float().cpu()]

    def _prepare(self, sample: Sample) -> list[Any]:
        """The prepared frames of a sample; one that is chosen twice is prepared once."""
        frames = decode_frames(sample, self._n_frames(sample), short_side=self._options.decode_side)
        prepared = {
            id(frame): self._encoder.prepare(frame) for frame in {id(frame): frame for frame in frames}.values()
        }
        return [prepared[id(frame)] for frame in frames]

    def _n_frames(self, sample: Sample) -> int:
        """How many frames to choose; a page's one image is not repeated unless the model wants so many."""
        if self._encoder.exact_frames is not None:
            return self._encoder.exact_frames
        if sample.video is not None and not sample.frames:
            return self._options.frames
        return min(self._options.frames, max(1, len(sample.frames)))


def _is_seen(sample: Sample) -> bool:
    """Whether a sample has a frame or a video."""
    return bool(sample.frames) or sample.video is not None


@contextmanager
def _one_core_each(cores: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch computes on one core; `cores` is what it has outside of them."""
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)  # in a thread it is also the default of threads that start later


def pool_frames(frames: torch.Tensor, pool: Pooling) -> torch.Tensor:
    """One vector [dim] of the frames of a sample [n, dim], which are brought to length 1 first.

    >>> pool_frames(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), "mean")
    tensor([0.5000, 0.5000])
    >>> pool_frames(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), "max")
    tensor([1., 1.])
    """
    unit = torch.nn.functional.normalize(frames.float(), dim=-1)
    if pool == "mean":
        return unit.mean(dim=0)
    return unit.amax(dim=0) if pool == "max" else unit[0]


def fuse(frames: torch.Tensor | None, text: torch.Tensor | None, text_weight: float) -> torch.Tensor:
    """The sum of both, each of length 1 before, as a vector of length 1; a missing one leaves the other.

    >>> fuse(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0]), 0.5)
    tensor([0.7071, 0.7071])
    >>> fuse(torch.tensor([2.0, 0.0]), None, 0.5)
    tensor([1., 0.])
    """
    shares = [(1 - text_weight, frames), (text_weight, text)]
    there = [(share, vector) for share, vector in shares if vector is not None]
    if len(there) == 1:
        there = [(1.0, there[0][1])]
    total = torch.stack([share * torch.nn.functional.normalize(vector, dim=0) for share, vector in there]).sum(dim=0)
    return torch.nn.functional.normalize(total, dim=0)


def _timed(things: Iterator[T], seconds: list[float]) -> Iterator[T]:
    """The same things; adds to `seconds` how long each was waited for."""
    while True:
        started = perf_counter()
        try:
            thing = next(things)
        except StopIteration:
            return
        seconds.append(perf_counter() - started)
        yield thing


def _chunks(things: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Group things until they come to `limit` together.

    >>> list(_chunks(["a", "bb", "c", "d"], len, 3))
    [['a', 'bb'], ['c', 'd']]
    """
    chunk: list[T] = []
    total = 0
    for thing in things:
        chunk.append(thing)
        total += size(thing)
        if total >= limit:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
