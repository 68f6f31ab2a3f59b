"""Dataset directories to PyTorch: balanced by product or streamed, and resumed at the exact next sample.

`BalancedProducts` and `SampleStream` say what comes in which order; `Feed` decodes it with any number of workers.
"""

from rope.extras import needed_by

with needed_by("rope.feed", "torch"):
    import torch  # noqa: F401 -- the extra that this package needs

from rope.feed.balanced import BalancedProducts
from rope.feed.clips import ClipReader, stack_frames
from rope.feed.loader import Feed
from rope.feed.records import ProductBatch, SampleBatch
from rope.feed.share import ProcessShare
from rope.feed.streaming import SampleStream

__all__ = [
    "BalancedProducts",
    "ClipReader",
    "Feed",
    "ProcessShare",
    "ProductBatch",
    "SampleBatch",
    "SampleStream",
    "stack_frames",
]
