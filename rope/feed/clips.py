"""From a stored sample to the tensor that a model gets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch

from rope.config import Count, Positive, check_record
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Sample
from rope.errors import DatasetError, UsageError
from rope.feed.order import hash64
from rope.feed.records import Clip
from rope.files import AnyPath
from rope.media import decode_frames
from rope.media.audio import decode_audio, iter_audio

__all__ = ["ClipReader", "OnDamaged", "SampleReader", "Transform", "asks_for_sound", "check_choices", "stack_frames"]

OnDamaged = Literal["raise", "skip"]
"""What to do about a sample that cannot be decoded: stop, or do without it and say so in the batch."""


Transform = Callable[[list[npt.NDArray[np.uint8]], np.random.Generator], torch.Tensor]
"""n frames, uint8 [size, size, 3] each, and a generator of the sample's own -> a tensor, always of one shape."""


class SampleReader(Protocol):
    """Turns a stored sample into a model's input, such as `ClipReader`."""

    def wanted(self, domain: DomainName) -> int:
        """How many frames of a sample of this domain are read."""

    def read(self, sample: Sample, seed: int, epoch: int) -> Clip:
        """The sample for a model; what is drawn follows from the sample, seed and epoch alone."""


def check_choices(directory: AnyPath, split: str, domains: Sequence[DomainName], on_damaged: str) -> None:
    """Refuse a split or domain that a dataset lacks, and an unknown way to treat damaged samples.

    Raises:
        UsageError: names what there is to choose from.
    """
    manifest = read_manifest(directory)
    for what, asked, there in (
        ("split", [split], sorted(manifest.counts)),
        ("domain", domains, manifest.domains),
        ("on_damaged", [on_damaged], get_args(OnDamaged)),
    ):
        if unknown := [name for name in asked if name not in there]:
            raise UsageError(f"{directory}: unknown {what} {unknown[0]!r}; choose one of {', '.join(there)}")


def asks_for_sound(reader: SampleReader) -> bool:
    """Whether a reader decodes the sound of samples, such as a `ClipReader` with a rate of it."""
    return getattr(reader, "sound_rate", None) is not None


def stack_frames(frames: list[npt.NDArray[np.uint8]], rng: np.random.Generator) -> torch.Tensor:
    """The transform that changes nothing: uint8 [n_frames, 3, size, size]; `rng` is not used.

    >>> tuple(stack_frames([np.zeros((4, 4, 3), np.uint8)] * 8, np.random.default_rng(0)).shape)
    (8, 3, 4, 4)
    """
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True, slots=True)
class ClipReader:
    """How samples are decoded.

    Attributes:
        n_frames: how many frames of a video or live clip, chosen by `rope.media.choose_frames`.
        size: height and width to which frames are resized, by bilinear interpolation and without keeping the aspect
            ratio, as the published COPE model sees them. A transform that crops needs more than the model does.
        transform: see `Transform`. It has to be picklable where Python starts processes by `spawn` or `forkserver`.
        n_page_frames: how many frames of a page; it has one, which is repeated.
        sound_rate: samples a second of the sound; None for no sound.
        sound_s: seconds of sound from the beginning, at most; None for all of it.

    Raises:
        UsageError: a number is below 1, or seconds are given without a rate.
    """

    n_frames: Count
    size: Count
    transform: Transform = stack_frames
    n_page_frames: Count = 1
    sound_rate: Count | None = None
    sound_s: Positive | None = None

    def __post_init__(self) -> None:
        check_record(self)
        if self.sound_s is not None and self.sound_rate is None:
            raise UsageError("sound_s: seconds of sound, and no rate of it; give sound_rate")

    def wanted(self, domain: DomainName) -> int:
        """How many frames of a sample of this domain are decoded."""
        return self.n_page_frames if domain == "page" else self.n_frames

    def read(self, sample: Sample, seed: int, epoch: int) -> Clip:
        """Decode a sample; the transform's generator follows from the sample, seed and epoch alone.

        Raises:
            DatasetError: a frame cannot be decoded; names the sample.
        """
        frames = decode_frames(sample, self.wanted(sample.domain), size=(self.size, self.size))
        return self.clip_of(sample, frames, seed, epoch)

    def clip_of(self, sample: Sample, frames: list[npt.NDArray[np.uint8]], seed: int, epoch: int) -> Clip:
        """The clip of a sample whose frames, uint8 [size, size, 3], are decoded already; see `read`."""
        rng = np.random.default_rng(hash64(f"transform-{sample.domain}", seed, epoch, sample.sample_id))
        return Clip(sample.sample_id, sample.text, self.transform(frames, rng), self._sound_of(sample))

    def _sound_of(self, sample: Sample) -> torch.Tensor | None:
        """The sound of a video file or beside frames; silence is none, so that nothing is learned of zeros."""
        file = sample.video or sample.audio
        if self.sound_rate is None or file is None:
            return None
        try:
            if self.sound_s is None:
                sound = decode_audio(file, self.sound_rate)
            else:
                most = max(1, round(self.sound_rate * self.sound_s))
                sound = next(iter_audio(file, self.sound_rate, most), np.zeros(0, np.float32))
        except DatasetError as error:
            raise DatasetError(f"{sample.domain} {sample.sample_id!r}: {error}") from error
        return torch.from_numpy(sound) if sound.any() else None
