"""Scores on the validation split while training, by the code that scores any embeddings."""

from pathlib import Path

import numpy as np

from cope.embed import CopeEmbedder
from rope.bench.io.embeddings import DomainEmbeddings, align
from rope.bench.quick import QuickScore, quick_score
from rope.bench.ranking.engine import Effort
from rope.bench.score import by_product
from rope.dataset.directory import iter_samples, read_labels

__all__ = ["score_on_validation"]

_SAMPLES_AT_ONCE = 256


def score_on_validation(embedder: CopeEmbedder, directory: Path) -> QuickScore:
    """R@k of the cross-domain pairs of the validation split.

    Raises:
        DatasetError: the dataset cannot be read, or a sample cannot be decoded.
    """
    labels = read_labels(directory, "validation")
    embeddings = {}
    for domain in labels:
        batches = iter_samples(directory, domain, "validation", batch_size=_SAMPLES_AT_ONCE)
        ids, vectors = [], []
        for samples in batches:
            ids += [sample.sample_id for sample in samples]
            vectors.append(embedder.embed(samples))
        embeddings[domain] = DomainEmbeddings(ids, np.concatenate(vectors), "float32")
    ordered = {domain: by_product(rows) for domain, rows in labels.items()}
    return quick_score(align(embeddings, ordered), ordered, Effort())
