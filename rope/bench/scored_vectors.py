"""The very vectors that a result is of, found again."""

from rope.bench.io.given import Given, embeddings_of
from rope.bench.io.provenance import Provenance, describe
from rope.bench.score import ScoredDomain, sides_of
from rope.bench.stats.query_ranks import RanksProvenance
from rope.bench.transform import VectorTransform, cut_all, transformed
from rope.dataset.directory import read_labels
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, with_published
from rope.errors import UsageError
from rope.files import AnyPath

__all__ = ["scored_sides"]


def scored_sides(
    origin: RanksProvenance,
    embeddings: Given,
    directory: AnyPath,
    *,
    dims: int | None = None,
    transform: VectorTransform | None = None,
) -> tuple[dict[DomainName, ScoredDomain], Provenance]:
    """The vectors that were scored, in the order of the engine, and what they are of.

    Args:
        origin: what the result says of them.
        embeddings: see `rope.bench.io.given.embeddings_of`.
        directory: the dataset.
        dims: where the result is of the first so many numbers of each vector.
        transform: where the result is of vectors to which this was done.

    Raises:
        UsageError: the dataset or the vectors are not those of the result, or it does not say which they were.
        EmbeddingError: the vectors do not fit the dataset.
    """
    labels, manifest = read_labels(directory, origin.split), read_manifest(directory)
    if manifest.fingerprint != origin.fingerprint:
        raise UsageError(
            f"{origin.model} was scored on the dataset {origin.fingerprint[:12]}, but {directory} is "
            f"{manifest.fingerprint[:12]}; give the dataset that was scored"
        )
    given = embeddings_of(embeddings, with_published(labels), any_number=True)
    if transform is None:
        given = cut_all(given, dims)
    else:
        given, _ = transformed(given, transform, directory, dims)
    aligned, ordered, found = describe(given, manifest, origin.split, labels, origin.model, missing="given")
    if not origin.embeddings:
        raise UsageError(f"the result of {origin.model} has no hashes of its vectors; score them again")
    for domain, sha256 in origin.embeddings.items():
        if domain not in found.embeddings or found.embeddings[domain].sha256 != sha256:
            raise UsageError(
                f"the vectors of {domain} are not those that were scored; give the same embeddings, and --dims, "
                "--centre, --whiten or --csls if they were scored with it"
            )
    return sides_of(aligned, ordered), found
