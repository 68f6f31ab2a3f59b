"""Scores on the validation split while training, by the code that scores any embeddings."""

from pathlib import Path

from cope.embed import CopeEmbedder
from rope.bench.evaluation import evaluate
from rope.bench.quick import QuickScore
from rope.bench.training import embed_split

__all__ = ["score_on_validation"]

_SAMPLES_AT_ONCE = 256


def score_on_validation(embedder: CopeEmbedder, directory: Path) -> QuickScore:
    """R@k of the cross-domain pairs of the validation split.

    Raises:
        DatasetError: the dataset cannot be read, or a sample cannot be decoded.
    """
    vectors = embed_split(embedder.embed, directory, "validation", batch_size=_SAMPLES_AT_ONCE)
    return evaluate(vectors, directory, name=embedder.name, quick=True).score
