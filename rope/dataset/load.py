"""`rope.load_dataset`: the call of `datasets`, with the names checked and the data found."""

import re
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, overload

from rope.dataset import hook
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.domain import SPLITS, domain_of_config
from rope.errors import UsageError
from rope.files import Address

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, ReadInstruction, Split

    OneSplit: TypeAlias = str | Split | ReadInstruction

__all__ = ["load_dataset"]

_OF_PRODUCTS: Final = ("products", "aligned")
"""The configurations with one row per product; the others are those of domains."""


@overload
def load_dataset(
    path: Address = ...,
    name: str = ...,
    *,
    split: "OneSplit",
    streaming: Literal[False] = ...,
    data_dir: "Address | None" = ...,
    columns: Sequence[str] | None = ...,
    num_proc: int | None = ...,
    keep_in_memory: bool | None = ...,
    cache_dir: str | PathLike[str] | None = ...,
) -> "Dataset": ...
@overload
def load_dataset(
    path: Address = ...,
    name: str = ...,
    *,
    split: "Sequence[OneSplit]",
    streaming: Literal[False] = ...,
    data_dir: "Address | None" = ...,
    columns: Sequence[str] | None = ...,
    num_proc: int | None = ...,
    keep_in_memory: bool | None = ...,
    cache_dir: str | PathLike[str] | None = ...,
) -> "list[Dataset]": ...
@overload
def load_dataset(
    path: Address = ...,
    name: str = ...,
    *,
    split: None = ...,
    streaming: Literal[False] = ...,
    data_dir: "Address | None" = ...,
    columns: Sequence[str] | None = ...,
    num_proc: int | None = ...,
    keep_in_memory: bool | None = ...,
    cache_dir: str | PathLike[str] | None = ...,
) -> "DatasetDict": ...
@overload
def load_dataset(
    path: Address = ...,
    name: str = ...,
    *,
    split: "OneSplit",
    streaming: Literal[True],
    data_dir: "Address | None" = ...,
    columns: Sequence[str] | None = ...,
    cache_dir: str | PathLike[str] | None = ...,
) -> "IterableDataset": ...
@overload
def load_dataset(
    path: Address = ...,
    name: str = ...,
    *,
    split: None = ...,
    streaming: Literal[True],
    data_dir: "Address | None" = ...,
    columns: Sequence[str] | None = ...,
    cache_dir: str | PathLike[str] | None = ...,
) -> "IterableDatasetDict": ...
def load_dataset(
    path: Address = hook.DATASET_NAME,
    name: str = "pages",
    *,
    split: "OneSplit | Sequence[OneSplit] | None" = None,
    streaming: bool = False,
    data_dir: "Address | None" = None,
    columns: Sequence[str] | None = None,
    num_proc: int | None = None,
    keep_in_memory: bool | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> "Dataset | list[Dataset] | DatasetDict | IterableDataset | IterableDatasetDict":
    """Load one configuration of a dataset directory with `datasets`.

    The same as `datasets.load_dataset("rope", name, split=..., streaming=..., data_dir=...)` after `import rope`. Only
    the splits that are requested are converted. The number of rows is compared with `rope.json`.

    Args:
        path: `"rope"`, a dataset directory, or its address on a file system that fsspec knows (`s3://bucket/OUT`).
        name: `pages`, `videos`, `lives`, or the name of another domain of the dataset with an s, for samples, with
            `frames` as decoded images; `products` or `aligned` for one row per product, with the ids of its samples.
        split: `train` or `validation`; a slice such as `train[:100]` or a sum such as `train+validation`; a
            `datasets.Split` or `datasets.ReadInstruction`; a list of these, for a list of tables; None for a
            dictionary of all splits. Streams have no slices and no lists.
        streaming: read the rows from the Parquet files as they are requested, instead of through a cache.
        data_dir: the dataset directory where `path` is `"rope"`; None for the one that `rope.dataset.locate.find`
            describes.
        columns: the columns to read; None for all.
        num_proc: processes that convert shards into the cache, where there are several shards.
        keep_in_memory: copy the rows into memory, instead of mapping the cache.
        cache_dir: where `datasets` keeps its cache; None for its own choice.

    Raises:
        UsageError: an unknown configuration, split or column, the configuration of a domain that the dataset lacks, two
            directories, or a directory that does not exist.
        DatasetError: no data is found, the directory is not a finished dataset, or a shard is not the one in its
            manifest.
    """
    if str(path) != hook.DATASET_NAME:
        if data_dir is not None:
            raise UsageError(f"load_dataset: got two directories, path={path} and data_dir={data_dir}; give one")
        data_dir = path
    _check_name(str(name))
    if num_proc is not None and num_proc < 1:
        raise UsageError(f"load_dataset: num_proc is {num_proc}, expected at least 1, or None")
    splits = _names_of(split)
    _check_splits("load_dataset", splits, SPLITS)
    directory = locate(data_dir)
    manifest = read_manifest(directory)
    if name not in manifest.loadable:
        raise UsageError(f"{directory}: has no {name}; choose one of {', '.join(manifest.loadable)}")
    _check_splits(str(directory), splits, list(manifest.counts))
    import datasets  # 0.9 s, and of no use where the names or the data are wrong

    hook.install()
    return datasets.load_dataset(
        hook.DATASET_NAME,
        name,
        split=split,
        streaming=streaming,
        data_dir=str(directory),
        num_proc=num_proc,
        keep_in_memory=keep_in_memory,
        cache_dir=None if cache_dir is None else str(cache_dir),
        **({} if columns is None else {"columns": columns if isinstance(columns, str) else list(columns)}),
    )


def _check_name(name: str) -> None:
    if name not in _OF_PRODUCTS and domain_of_config(name) is None:
        raise UsageError(
            f"load_dataset: unknown configuration {name!r}; choose {', '.join(_OF_PRODUCTS)} or the name of a domain "
            "with an s, such as pages"
        )


def _names_of(split: object) -> list[str]:
    """The splits that are requested, slices as they are written; empty for all.

    >>> _names_of("train[:10%]+validation"), _names_of(["train"]), _names_of(None)
    (['train[:10%]', 'validation'], ['train'], [])
    """
    if split is None or str(split) == "all":
        return []
    if isinstance(split, list | tuple):
        return [name for part in split for name in _names_of(part)]
    spec = split.to_spec() if hasattr(split, "to_spec") else str(split)
    return [part.strip() for part in spec.split("+")]


def _check_splits(where: str, splits: Sequence[str], there: Sequence[str]) -> None:
    for split in splits:
        if re.sub(r"[\[(].*$", "", split) not in there:
            raise UsageError(f"{where}: unknown split {split!r}; choose one of {', '.join(there)}")
