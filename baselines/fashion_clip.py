"""FashionCLIP as an embedder: CLIP tuned on fashion, through transformers.

Source: Chia et al., Contrastive language and vision learning of general fashion concepts, 2022. The model's own package
gives the same features; it does not run with transformers 5.
"""

from baselines import transformers_model
from baselines.fusion import FusedEmbedder

__all__ = ["embedder"]


def embedder(model: str = "patrickjohncyh/fashion-clip", **shared: str) -> FusedEmbedder:
    """The embedder of `baselines:fashion_clip`.

    Args:
        model: Hub id or folder.
        **shared: see `baselines.options.EmbeddingOptions`.
    """
    fused = transformers_model.embedder(model, **shared)
    fused.name = "fashion-clip"
    return fused
