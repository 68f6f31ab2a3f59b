"""Chinese-CLIP as an embedder; the encoder itself is `rope.encoders.chinese_clip`."""

from typing import Annotated

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.options import EmbeddingOptions, read_options
from rope.config import Count, NumberRange, value_of_text
from rope.encoders.chinese_clip import DEFAULT_MODEL, load_chinese_clip

__all__ = ["embedder"]


def embedder(
    model: str = DEFAULT_MODEL,
    backend: str = "transformers",
    vocabulary: str = "",
    vision_head_width: str = "0",
    text_head_width: str = "64",
    **shared: str,
) -> FusedEmbedder:
    """The embedder of `baselines:chinese_clip`.

    Args:
        model: a Hub id or folder of transformers, or a file `.pt` of the authors.
        backend: `transformers`, or `cn_clip` for the authors' package, which takes only `.pt` files.
        vocabulary: the `vocab.txt` for a file `.pt`; empty for the one next to it, else that of `cn_clip`.
        vision_head_width: of a file `.pt`; 0 for that of the released models.
        text_head_width: of a file `.pt`.
        **shared: see `baselines.options.EmbeddingOptions`.
    """
    options = read_options(shared, EmbeddingOptions())
    encoder = load_chinese_clip(
        model,
        backend=backend,
        precision=options.precision,
        device=options.device,
        vocabulary=vocabulary or None,
        vision_head_width=value_of_text(Annotated[int, NumberRange(0)], vision_head_width, "vision_head_width"),
        text_head_width=value_of_text(Count, text_head_width, "text_head_width"),
    )
    return FusedEmbedder("chinese-clip", PooledImages(encoder, options.pool), options)
