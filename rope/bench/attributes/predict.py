"""Predict a column of the products from embeddings: the library under `rope-bench attributes`."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from rope.bench.answer import Answer
from rope.bench.attributes.columns import read_column
from rope.bench.attributes.report import as_json, attribute_rows, attribute_table
from rope.bench.attributes.score import AttributeScore, Embedded, Settings, count_rounds, score_attribute
from rope.bench.io.given import Given, embeddings_of, name_of
from rope.bench.io.provenance import Provenance, describe
from rope.console import progress_bar
from rope.dataset.directory import read_labels
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.domain import Split, with_published
from rope.files import Address, AnyPath
from rope.table import Table

__all__ = ["predict_attribute"]


def predict_attribute(
    embeddings: Given,
    column: str,
    data: "Address | None" = None,
    *,
    train: Given | None = None,
    labels: str | PathLike[str] | None = None,
    separator: str | None = None,
    settings: Settings | None = None,
    name: str | None = None,
    progress: bool = False,
) -> Answer[AttributeScore]:
    """Predict a column of the products from the vectors: linear probe, neighbours, few-shot; or tags.

    Learned from each domain and tested on each, always on products that were not learned from.

    Args:
        embeddings: of the split `validation`; see `rope.bench.io.given.embeddings_of`.
        column: of the products table, or of `labels`.
        data: the dataset directory; None for the one that `rope.dataset.locate.find` finds.
        train: embeddings of the split `train` to learn from; None for cross-validation over the products tested.
        labels: a CSV or Parquet file with product_id and the column; None for the products table.
        separator: what stands between the tags in a cell of text; None where a cell is one class.
        settings: seed, folds, neighbours, shots and draws; None for those of the command.
        name: what to call the model; None for the stem of the first file.
        progress: draw a bar on stderr, if that is a terminal.

    Raises:
        UsageError: the column does not exist, or the embeddings have another form.
        EmbeddingError: the embeddings do not fit the dataset.
        DatasetError: the dataset cannot be read.
    """
    directory, settings, model = locate(data), settings or Settings(seed=0), name or name_of(embeddings)
    wanted = read_column(directory, column, None if labels is None else Path(labels), separator)
    tested, provenance = _embedded(embeddings, directory, "validation", model)
    learned, learned_of = (None, None) if train is None else _embedded(train, directory, "train", model)
    with progress_bar("learning", count_rounds(tested, settings, learned), shown=progress) as advance:
        found = score_attribute(wanted, tested, settings, learned, advance)
    title = f"{model} on {provenance.dataset}, validation split ({provenance.fingerprint[:12]})"
    shown: Sequence[str | Table] = [title, attribute_table(found)]
    plain = as_json(found, provenance, learned_of)
    return Answer(found, shown, plain, rows=attribute_rows(plain, provenance))


def _embedded(given: Given, directory: AnyPath, split: Split, model: str) -> tuple[Embedded, Provenance]:
    labels = read_labels(directory, split)
    vectors = embeddings_of(given, with_published(labels))
    aligned, ordered, provenance = describe(vectors, read_manifest(directory), split, labels, model)
    return Embedded(aligned, ordered), provenance
