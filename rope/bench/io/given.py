"""Embeddings as people hold them in Python, to float32 vectors with ids: files, tables, and arrays of any library."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rope.bench.io.embeddings import DomainEmbeddings, one_vector_each
from rope.bench.io.readers import read_embeddings
from rope.bench.io.tables import COLUMNS, OPTIONAL, columns_to_read, either, gather, rows_of
from rope.bench.ragged import offsets_of
from rope.domain import DomainName
from rope.errors import EmbeddingError, UsageError

__all__ = ["Given", "embeddings_of", "name_of", "to_numbers"]

_TABLE: Final = "the table of embeddings"
_FORMS: Final = (
    "a mapping from domain to (ids, array), a table with the columns domain, sample_id and embedding, or paths of files"
)


@runtime_checkable
class ArrowTable(Protocol):
    """A table that Arrow can read in place: of pyarrow, pandas, polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows, by Arrow's C stream interface."""
        ...


_OnePath: TypeAlias = str | os.PathLike[str]
Given: TypeAlias = Mapping[DomainName, tuple[Any, Any]] | ArrowTable | _OnePath | Sequence[_OnePath]
"""Embeddings of the samples of some domains; `embeddings_of` says what each form holds."""


def embeddings_of(
    given: Given, domains: Sequence[DomainName], *, any_number: bool = False
) -> dict[DomainName, DomainEmbeddings]:
    """The vectors of each domain, in the order they were given; `rope.bench.io.embeddings.align` checks their ids.

    Args:
        given: one of

            * a mapping from domain to `(ids, array)`: n ids, strings or integers, and floats [n, dim], an array of
              NumPy, a tensor of PyTorch on any device, or what `numpy.asarray` takes; `(ids, array, queries)` where
              samples have other vectors as queries; instead of an array, a list of n arrays [m, dim], where m may
              differ, for many vectors a sample or none;
            * a table of pandas, polars, pyarrow or DuckDB with the columns domain, sample_id and embedding;
            * a path, or several: what `rope.bench.io.readers.read_embeddings` reads.
        domains: the domains there can be.
        any_number: whether samples may have many vectors or none, and others as queries, rather than one each.

    Returns:
        The domains that were given, in the order of `domains`.

    Raises:
        UsageError: it has another form, names another domain, or an id is neither a string nor an integer.
        EmbeddingError: an array is not floats [n, dim] for its n ids, or has masked values; or a sample has not one
            vector, and `any_number` is not asked for.
        FileError: a file or table cannot be read, see `rope.bench.io.readers.read_embeddings`.
    """
    if isinstance(given, Mapping):
        found = _of_mapping(given, domains)
        return found if any_number else one_vector_each(found)
    if isinstance(given, ArrowTable):
        with _reading(given):
            table = _as_arrow(given)
            batches = table.select(columns_to_read(table.schema, _TABLE)).to_batches()
            pieces = rows_of(table.schema, batches, domains, _TABLE, any_number=any_number)
            return gather(pieces, domains, any_number=any_number)
    return read_embeddings(_paths(given), domains, any_number=any_number)


def name_of(given: Given) -> str:
    """What results call a model that nobody named: the stem of its first file, or `embeddings`."""
    return "embeddings" if isinstance(given, Mapping | ArrowTable) else _paths(given)[0].stem


def _paths(given: object) -> list[Path]:
    """The path, or the paths, that were given."""
    paths = [given] if isinstance(given, str | os.PathLike) else given
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(p, str | os.PathLike) for p in paths):
        raise UsageError(f"embeddings of type {type(given).__name__}: expected {_FORMS}")
    return [Path(path) for path in paths]


def _as_arrow(given: ArrowTable) -> pa.Table:
    """The columns of embeddings alone where the table says what it has: others may hold what Arrow cannot."""
    columns = getattr(given, "columns", None)
    names = [] if isinstance(given, pa.Table) or columns is None else [str(name) for name in columns]
    wanted = [name for name in (*COLUMNS, *OPTIONAL) if name in names]
    return pa.table(given[wanted] if wanted else given)  # type: ignore[index]


@contextmanager
def _reading(given: ArrowTable) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, TypeError, ValueError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"{_TABLE}, a {type(given).__name__}, cannot be read: {told[:300]}") from error


def _of_mapping(given: Mapping[DomainName, Any], domains: Sequence[DomainName]) -> dict[DomainName, DomainEmbeddings]:
    strange = [name for name in given if name not in domains]
    if strange:
        raise UsageError(f"embeddings of {strange[0]!r}: the domains are {either(domains)}")
    return {domain: _of_domain(domain, given[domain]) for domain in domains if domain in given}


def _of_domain(domain: DomainName, value: object) -> DomainEmbeddings:
    if isinstance(value, DomainEmbeddings):
        return value
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise UsageError(
            f"embeddings of {domain}: expected (ids, array), got {type(value).__name__}; (ids, array, queries) is for "
            "samples that have other vectors as queries"
        )
    ids = _ids(domain, value[0])
    queries = None if len(value) == 2 else _of_role(f"{domain}s as queries", ids, value[2])
    return replace(_of_role(domain, ids, value[1]), queries=queries)


def _of_role(what: str, ids: list[str], given: Any) -> DomainEmbeddings:  # noqa: ANN401  arrays, tensors, lists of them
    if _are_many(given):
        if len(given) != len(ids):
            raise EmbeddingError(f"embeddings of {what}: {len(given)} arrays [m, dim], expected {len(ids)} for its ids")
        rows = [to_numbers(one, f"{what} {sample_id!r}", None) for one, sample_id in zip(given, ids, strict=True)]
        dims = sorted({array.shape[1] for array, _ in rows if len(array)})
        if len(dims) > 1:
            raise EmbeddingError(
                f"embeddings of {what}: not an array [m, dim] of one dim each: {dims[0]} and {dims[1]}"
            )
        arrays = [array for array, _ in rows if len(array)] or [np.zeros((0, 0), np.float32)]
        array, stored = np.concatenate(arrays), ", ".join(sorted({kind for one, kind in rows if len(one)}))
        offsets = offsets_of(np.array([len(one) for one, _ in rows], np.int64))
    else:
        array, stored = to_numbers(given, what, len(ids))
        offsets = None
    with np.errstate(over="ignore"):  # infinity is refused by `align`
        return DomainEmbeddings(ids, np.ascontiguousarray(array, np.float32), stored, offsets=offsets)


def _are_many(given: object) -> bool:
    """Whether each sample has vectors of its own: a list of arrays [m, dim].

    One array [n, m, dim] is refused: what a model gives for a padded batch holds the padding too.
    """
    return isinstance(given, list | tuple) and len(given) > 0 and all(getattr(one, "ndim", 0) == 2 for one in given)


def _ids(domain: DomainName, given: Any) -> list[str]:  # noqa: ANN401  arrays, tensors, series, lists
    to_list = getattr(given, "tolist", getattr(given, "to_list", None))  # polars has the second
    ids = given if to_list is None else to_list()
    if isinstance(ids, str | bytes | set | frozenset | Mapping | ArrowTable) or not isinstance(ids, Iterable):
        raise UsageError(f"ids of {domain}: a {type(given).__name__}, expected a list or array, one id for each row")
    ids = list(ids)
    wrong = [one for one in ids if isinstance(one, bool) or not isinstance(one, str | Integral)]
    if wrong:
        raise UsageError(f"ids of {domain}: {wrong[0]!r} is a {type(wrong[0]).__name__}, expected strings or integers")
    return [str(one) for one in ids]


def to_numbers(given: Any, domain: DomainName, n: int | None) -> tuple[npt.NDArray[Any], str]:  # noqa: ANN401
    """Vectors of any library as an array of floats [n, dim], and the type that the numbers had; n is any if None.

    Raises:
        EmbeddingError: they are something else, or some are masked.
    """
    array, stored = _numbers(given, domain)
    if array.dtype.kind != "f":
        raise EmbeddingError(
            f"embeddings of {domain}: numbers of type {stored}, expected floats; convert them as the model means them"
        )
    if array.ndim != 2 or n not in (None, len(array)):
        expected = "m" if n is None else n
        raise EmbeddingError(f"embeddings of {domain}: an array {array.shape}, expected [{expected}, dim] for its ids")
    return array, stored


def _numbers(given: Any, domain: DomainName) -> tuple[npt.NDArray[Any], str]:  # noqa: ANN401
    """An array, and the type that its numbers had; what NumPy has no type for comes as float32."""
    try:
        if _is_tensor(given):
            return _of_tensor(given)
        if np.ma.is_masked(given):
            raise EmbeddingError(f"embeddings of {domain}: some numbers are masked; fill them or leave the samples out")
        is_rows = isinstance(given, list | tuple) and any(map(_is_tensor, given))
        array = None if is_rows else np.asarray(given)
        if array is None or (array.dtype == object and array.ndim == 1):  # a row each, as a column of a table has them
            rows = [_numbers(row, domain) for row in given]
            return np.stack([row for row, _ in rows]), ", ".join(sorted({stored for _, stored in rows}))
    except (TypeError, ValueError, RuntimeError) as error:
        raise EmbeddingError(f"embeddings of {domain}: not an array [n, dim]: {str(error)[:200]}") from error
    return (array.astype(np.float32), "bfloat16") if array.dtype.name == "bfloat16" else (array, str(array.dtype))


def _is_tensor(given: object) -> bool:
    torch = sys.modules.get("torch")  # who gives a tensor has imported it
    return torch is not None and isinstance(given, torch.Tensor)


def _of_tensor(given: Any) -> tuple[npt.NDArray[Any], str]:  # noqa: ANN401  a tensor, on any device
    tensor, stored = given.detach().cpu(), str(given.dtype).removeprefix("torch.")
    is_narrow = tensor.is_floating_point() and stored not in ("float16", "float32", "float64")
    return (tensor.float() if is_narrow else tensor).numpy(), stored
