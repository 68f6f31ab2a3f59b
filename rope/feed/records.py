"""The batches that a training loop receives.

These are named tuples, since PyTorch pins and moves the tensors inside those, and inside no other kind of record.
"""

from typing import NamedTuple

import torch
from torch.utils.data import default_collate

from rope.domain import DomainName

__all__ = ["AllDamaged", "Clip", "ProductBatch", "ProductSamples", "SampleBatch", "collate_clips", "collate_products"]


class Clip(NamedTuple):
    """A sample, decoded.

    Attributes:
        sample_id: unique inside its domain.
        text: title or speech; None where there is none.
        frames: what the transform made of the frames.
        sound: float32 [n], one channel at the rate that the reader asks for; None where it asks for none, and where
            the sample has no sound or only silence.
    """

    sample_id: str
    text: str | None
    frames: torch.Tensor
    sound: torch.Tensor | None = None


class SampleBatch(NamedTuple):
    """Several samples of one domain.

    Attributes:
        sample_ids: of the b samples.
        texts: of each; None where there is none.
        frames: [b, ...], what the transform made of each sample's frames, stacked.
        damaged: a sentence for each sample that could not be decoded and was left out, or replaced.
        sounds: of each sample, float32 [n] of its own length, or None, see `Clip`; no padding is added.
    """

    sample_ids: list[str]
    texts: list[str | None]
    frames: torch.Tensor
    damaged: list[str]
    sounds: list[torch.Tensor | None]


class AllDamaged(NamedTuple):
    """What stands in for a batch none of whose samples could be decoded; a `Feed` counts it and goes on.

    Attributes:
        damaged: a sentence for each sample.
    """

    damaged: list[str]


class ProductSamples(NamedTuple):
    """One sample of each domain of one product; `damaged` as in `SampleBatch`."""

    product_id: str
    clips: dict[DomainName, Clip]
    damaged: list[str]


class ProductBatch(NamedTuple):
    """One sample of each domain of several products.

    Attributes:
        product_ids: of the b products, all different but where `plan_steps` repeats some.
        samples: domain -> the b samples of these products, in the same order.
        damaged: a sentence for each sample that could not be decoded and was replaced.
    """

    product_ids: list[str]
    samples: dict[DomainName, SampleBatch]
    damaged: list[str]


def collate_clips(clips: list[Clip], damaged: list[str]) -> SampleBatch:
    """Stack samples of one domain.

    >>> clips = [Clip("1", None, torch.zeros(8, 3, 2, 2)), Clip("2", "cup", torch.ones(8, 3, 2, 2))]
    >>> batch = collate_clips(clips, [])
    >>> batch.sample_ids, batch.texts, tuple(batch.frames.shape)
    (['1', '2'], [None, 'cup'], (2, 8, 3, 2, 2))
    """
    frames = default_collate([clip.frames for clip in clips])  # in a worker, straight into shared memory
    ids, texts = [clip.sample_id for clip in clips], [clip.text for clip in clips]
    return SampleBatch(ids, texts, frames, damaged, [clip.sound for clip in clips])


def collate_products(items: list[ProductSamples]) -> ProductBatch:
    """Stack the samples of several products, domain by domain."""
    samples = {domain: collate_clips([item.clips[domain] for item in items], []) for domain in items[0].clips}
    damaged = [sentence for item in items for sentence in item.damaged]
    return ProductBatch([item.product_id for item in items], samples, damaged)
