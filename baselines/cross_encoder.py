"""Any cross-encoder of sentence-transformers as a re-ranker of texts: both texts of a pair in one forward pass.

Nogueira and Cho 2019, "Passage Re-ranking with BERT", <https://arxiv.org/abs/1901.04085>. Checkpoints are those that
`sentence_transformers.CrossEncoder` loads: a classifier of transformers with one label, such as BAAI/bge-reranker-v2-m3
or cross-encoder/ms-marco-MiniLM-L6-v2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rope.config import Count, value_of_text
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.encoders.running import choose_device, choose_dtype
from rope.encoders.weights import loading, refuse_missing
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["TextCrossEncoder", "reranker"]


class TextCrossEncoder:
    """The texts of a query and of a candidate through `CrossEncoder.predict`, whose score is the one number it gives.

    Attributes:
        name: what reports call it.
        fingerprint: changes with everything that can move a score, see `fingerprint_of`.
        abstains: True: a pair of which one has no text has no score.
    """

    abstains: bool = True

    def __init__(self, name: str, model: Any) -> None:  # noqa: ANN401  sentence-transformers is optional
        self.name = name
        self._model = model.eval()
        self.fingerprint = fingerprint_of(self)

    def score(self, queries: Sequence[Sample], candidates: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """float32 [n]; NaN where a text is missing."""
        scores = np.full(len(queries), np.nan, np.float32)
        both = [i for i, (a, b) in enumerate(zip(queries, candidates, strict=True)) if a.text and b.text]
        if both:
            texts = [(queries[i].text, candidates[i].text) for i in both]
            scores[both] = self._model.predict(texts, batch_size=len(texts), show_progress_bar=False)
        return scores


def reranker(
    model: str, max_tokens: str | None = None, precision: str = "fp32", device: str = "auto"
) -> TextCrossEncoder:
    """The re-ranker of `baselines:cross_encoder?model=BAAI/bge-reranker-v2-m3`.

    Args:
        model: Hub id or folder.
        max_tokens: of both texts together; the model's own limit where it is None.
        precision: `fp32`, `bf16` or `fp16`.
        device: `auto`, `cpu`, `cuda` ...

    Raises:
        UsageError: sentence-transformers is not installed, or cannot load it, weights are missing, or the model gives
            several numbers for a pair.
    """
    with needed_by("baselines:cross_encoder", "baselines"):
        from sentence_transformers import CrossEncoder
    limit = None if max_tokens is None else value_of_text(Count, max_tokens, "max_tokens")
    with loading(model, "sentence-transformers") as found:
        loaded: Any = CrossEncoder(
            model,
            device=str(choose_device(device)),
            max_length=limit,
            model_kwargs={"dtype": choose_dtype(precision)},
        )
    refuse_missing(model, found.lacking)
    if loaded.num_labels != 1:
        raise UsageError(f"{model} gives {loaded.num_labels} numbers for a pair of texts, and a re-ranker gives one")
    return TextCrossEncoder(model.rstrip("/").rpartition("/")[2], loaded)
