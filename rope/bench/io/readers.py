"""Files of embeddings, in the formats that people have them in, to float32 vectors with ids.

Nothing here can run code: no pickle is read from any format.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
from numpy.lib.npyio import NpzFile

from rope.bench.io.cope_dumps import is_dump, read_dumps
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.tables import Piece, as_float32, columns_to_read, either, gather, rows_of
from rope.bench.ragged import offsets_of
from rope.domain import DOMAINS, Domain, DomainName, config_of
from rope.errors import FileError, UsageError
from rope.files import kind_of, reading_file

__all__ = ["read_embeddings"]

_FORMATS: Final = (
    "Parquet with the columns domain, sample_id and embedding (*.parquet); page.npy, video.npy and live.npy, each "
    "with page.ids.txt or page_ids.npy and so on; *.npz with the arrays page and page_ids and so on; *.safetensors "
    "with the tensors page, video, live and the ids as JSON lists page_ids and so on in its metadata; or the "
    "text dumps of COPE's infer.py (0_item, 0_photo, 0_live)"
)
_KINDS: Final = {".parquet": "Parquet", ".npy": ".npy", ".npz": ".npz", ".safetensors": "safetensors"}
_ROWS_A_BATCH: Final = 2048
_NPY_STEM: Final = re.compile(r"(?:.*[^a-z])?([a-z]+)", re.IGNORECASE)
_Loaded = TypeVar("_Loaded", npt.NDArray[Any], NpzFile)
_SAFETENSORS_TYPES: Final = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}


@overload
def read_embeddings(paths: Sequence[Path], *, any_number: bool = False) -> dict[Domain, DomainEmbeddings]: ...
@overload
def read_embeddings(
    paths: Sequence[Path], domains: Sequence[DomainName], *, any_number: bool = False
) -> dict[DomainName, DomainEmbeddings]: ...
def read_embeddings(
    paths: Sequence[Path], domains: Sequence[DomainName] = DOMAINS, *, any_number: bool = False
) -> dict[Domain, DomainEmbeddings] | dict[DomainName, DomainEmbeddings]:
    """Read every row of some files of embeddings; a folder stands for the files in it.

    Formats can be mixed, and one domain may be spread over files; a file given twice is read once. float64 is rounded
    to float32, float16 and bfloat16 are widened, int8 in Parquet is multiplied by the `scale` of its row.
    `rope.bench.io.embeddings.align` then checks that the ids are those of a dataset, each there once, and that the
    vectors have a direction. Rows come in the order of the files' names.

    Args:
        paths: files and folders, in any order.
        domains: the domains there can be, by which files and arrays are known; see `rope.domain.with_published`.
        any_number: whether samples may have many vectors or none, and others as queries, rather than one each.

    Returns:
        The domains that were found, in the order of `domains`.

    Raises:
        UsageError: a path does not exist, a folder is empty, or a file is of no known format.
        FileError: a file is another thing than its name says, is damaged, its numbers are not floats, or its rows
            differ in length.
        EmbeddingError: a sample has not one vector, and `any_number` is not asked for.
    """
    found = gather(_pieces(_list_files(paths), domains, any_number), domains, any_number=any_number)
    pa.default_memory_pool().release_unused()  # tens of megabytes that Parquet was decoded in
    return found


def _pieces(files: Sequence[Path], domains: Sequence[DomainName], any_number: bool) -> Iterator[Piece]:
    for file in files:
        if not is_dump(file):
            read = _reader_of(file)
            with reading_file(file, _KINDS[file.suffix]):
                yield from read(file, domains, any_number)
    dumps = [file for file in files if is_dump(file)]
    for domain, embeddings in read_dumps(dumps).items():
        yield Piece(domain, dumps[0], embeddings)


def _list_files(paths: Sequence[Path]) -> list[Path]:
    """The files to read, by name: without hidden files, and without the ids that belong to an `.npy` file."""
    found: dict[Path, Path] = {}  # absolute -> as given, for error texts
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        files = [file for file in path.iterdir() if not file.name.startswith(".")] if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: nothing to read; expected {_FORMATS}")
        found |= {file.absolute(): file for file in files}
    kept = [absolute for absolute in found if not _is_ids(absolute)]
    return [found[absolute] for absolute in sorted(kept, key=lambda path: (path.name, path))]


def _is_ids(path: Path) -> bool:
    return path.name.endswith((".ids.txt", "_ids.npy"))


def _reader_of(file: Path) -> Callable[[Path, Sequence[DomainName], bool], Iterator[Piece]]:
    readers = {
        ".parquet": _read_parquet,
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
    }
    if not file.is_file() or file.suffix not in readers:
        raise UsageError(f"{file}: not a file of embeddings; expected {_FORMATS}")
    return readers[file.suffix]


# Parquet


def _read_parquet(file: Path, domains: Sequence[DomainName], any_number: bool) -> Iterator[Piece]:
    """Rows of `domain, sample_id, embedding`, a few thousand at a time."""
    # With these two a row group streams, however large its writer made it.
    with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as parquet:
        columns = columns_to_read(parquet.schema_arrow, file)
        batches = parquet.iter_batches(_ROWS_A_BATCH, columns=columns)
        yield from rows_of(parquet.schema_arrow, batches, domains, file, any_number=any_number)


# NumPy


def _read_npy(file: Path, domains: Sequence[DomainName], any_number: bool) -> Iterator[Piece]:
    """`page.npy`, or any name that ends in a domain, with its ids next to it."""
    match = _NPY_STEM.fullmatch(file.stem)
    ending = match[1].lower() if match is not None else ""
    domain = next((domain for domain in domains if ending in (domain, config_of(domain))), None)
    if domain is None:
        raise UsageError(
            f"{file}: cannot tell the domain; end the name with {either(domains)}, as in clip_{domains[0]}.npy"
        )
    text, array = file.with_name(f"{file.stem}.ids.txt"), file.with_name(f"{file.stem}_ids.npy")
    if text.exists() == array.exists():
        found = "both are there" if text.exists() else "neither is there"
        raise UsageError(f"{file}: its ids are expected in {text.name} (one a line) or in {array.name}; {found}")
    ids = _read_lines(text) if text.exists() else _ids(_load_array(array), array)
    yield _piece(domain, file, ids, _load_array(file))


def _read_npz(file: Path, domains: Sequence[DomainName], any_number: bool) -> Iterator[Piece]:
    """The arrays `page` and `page_ids`, and so on for the domains that are there.

    Beside them, `page_lengths` says how many of the vectors each sample has, where they have any number; `page_queries`
    and `page_query_lengths` are the same of the samples as queries.
    """
    with file.open("rb") as opened, _load(opened, file, NpzFile) as archive:
        names = set(archive.files)
        if len(names) < len(archive.files):
            raise FileError(f"{file}: an array occurs twice; it has {', '.join(sorted(archive.files))}")
        for domain in _domains_in(names, domains, file):
            if f"{domain}_ids" not in names:
                raise FileError(f"{file}: the array {domain} has no {domain}_ids next to it")
            ids = _ids(archive[f"{domain}_ids"], file)
            lengths = archive[f"{domain}_lengths"] if f"{domain}_lengths" in names else None
            piece = _piece(domain, file, ids, archive[domain], lengths=lengths)
            if f"{domain}_queries" in names:
                lengths = archive[f"{domain}_query_lengths"] if f"{domain}_query_lengths" in names else None
                queries = _piece(domain, file, ids, archive[f"{domain}_queries"], lengths=lengths)
                piece = replace(piece, embeddings=replace(piece.embeddings, queries=queries.embeddings))
            yield piece


def _load_array(file: Path) -> npt.NDArray[Any]:
    with reading_file(file, _KINDS[file.suffix]), file.open("rb") as opened:
        return _load(opened, file, np.ndarray)


def _load(opened: BinaryIO, file: Path, kind: type[_Loaded]) -> _Loaded:
    """What NumPy reads from a file, which it leaves open where it fails if it opened the file itself."""
    loaded = np.load(opened, allow_pickle=False)
    if not isinstance(loaded, kind):
        raise FileError(f"{file}: its content is not that of a {file.suffix} file; name it by what it is")
    return loaded


def _read_lines(file: Path) -> list[str]:
    """Ids, one a line; a blank line within is an error, since it would shift all that follow."""
    with reading_file(file, "ids, one a line"):
        lines = file.read_text("utf-8-sig").splitlines()
        if lines and kind_of(file):
            raise ValueError(f"its {len(lines)} lines are not ids")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise FileError(f"{file}:{number}: the line is blank, expected an id")
    return [line.strip() for line in lines]


def _ids(array: npt.NDArray[Any], file: Path) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise FileError(f"{file}: ids of type {array.dtype} {array.shape}, expected [n] integers or strings")
    return [str(sample_id) for sample_id in array]


# safetensors


def _read_safetensors(file: Path, domains: Sequence[DomainName], any_number: bool) -> Iterator[Piece]:
    """The tensors `page`, `video`, `live`, with `page_ids` and so on as JSON lists in the metadata.

    `page_queries` are the vectors of the same samples as queries.
    """
    with safetensors.safe_open(file, framework="numpy") as checked:  # refuses offsets that do not fit the file
        names, metadata = set(checked.keys()), checked.metadata() or {}
    for domain in _domains_in(names, domains, file):
        try:
            ids = json.loads(metadata[f"{domain}_ids"])
        except (KeyError, ValueError):
            ids = None
        if not isinstance(ids, list) or not all(type(sample_id) in (str, int) for sample_id in ids):
            raise FileError(f"{file}: no {domain}_ids in its metadata as a JSON list of strings or integers")
        given = [str(sample_id) for sample_id in ids]
        piece = _piece(domain, file, given, *_tensor(file, domain))
        if f"{domain}_queries" in names:
            queries = _piece(domain, file, given, *_tensor(file, f"{domain}_queries"))
            piece = replace(piece, embeddings=replace(piece.embeddings, queries=queries.embeddings))
        yield piece


def _tensor(file: Path, name: str) -> tuple[npt.NDArray[Any], str]:
    """One tensor of a checked file, and its stored type; bfloat16 comes widened, as NumPy has no such type."""
    with file.open("rb") as opened:
        n_header = int.from_bytes(opened.read(8), "little")
        entry = json.loads(opened.read(n_header))[name]
        if entry["dtype"] not in _SAFETENSORS_TYPES:
            raise FileError(f"{file}: the tensor {name} is {entry['dtype']}, expected F16, BF16, F32 or F64")
        opened.seek(8 + n_header + entry["data_offsets"][0])
        raw = np.dtype(_SAFETENSORS_TYPES[entry["dtype"]])
        array: npt.NDArray[Any] = np.fromfile(opened, raw, int(np.prod(entry["shape"]))).reshape(entry["shape"])
    if entry["dtype"] == "BF16":
        return (array.astype("<u4") << 16).view("<f4"), "bfloat16"
    return array, str(array.dtype)


# Shared by the formats that hold whole arrays


def _domains_in(names: set[str], domains: Sequence[DomainName], file: Path) -> list[DomainName]:
    found = [domain for domain in domains if domain in names]
    if not found:
        listed = ", ".join(sorted(names)) or "nothing"
        raise FileError(f"{file}: expected the arrays {either(domains)}, found {listed}")
    return found


def _piece(
    domain: DomainName,
    file: Path,
    ids: list[str],
    array: npt.NDArray[Any],
    stored: str | None = None,
    lengths: npt.NDArray[Any] | None = None,
) -> Piece:
    n = len(ids) if lengths is None else _total(lengths, len(ids), domain, file)
    if array.ndim != 2 or len(array) != n:
        raise FileError(f"{file}: {domain} is an array {array.shape}, expected [{n}, dim] for its ids")
    found = as_float32([""] * n, array, stored or str(array.dtype), file)
    offsets = None if lengths is None else offsets_of(lengths.astype(np.int64))
    return Piece(domain, file, replace(found, sample_ids=ids, offsets=offsets))


def _total(lengths: npt.NDArray[Any], n: int, domain: DomainName, file: Path) -> int:
    """How many vectors all samples have together."""
    if lengths.dtype.kind not in "iu" or lengths.shape != (n,) or (lengths < 0).any():
        raise FileError(f"{file}: the lengths of {domain} are {lengths.dtype} {lengths.shape}, expected [{n}] counts")
    return int(lengths.sum())
