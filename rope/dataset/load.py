"""`rope.load_dataset`: the call of `datasets`, with the names checked and the data found."""

import re
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, overload

from rope.dataset import hook
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.domain import SPLITS, config_of, domain_of_config
from rope.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

__all__ = ["load_dataset"]

_OF_PRODUCTS: Final = ("products", "aligned")
"""The configurations with one row a product; the others are those of domains."""


@overload
def load_dataset(
    path: str | PathLike[str] = ...,
    name: str = ...,
    *,
    split: str,
    streaming: Literal[False] = ...,
    data_dir: str | PathLike[str] | None = ...,
) -> "Dataset": ...
@overload
def load_dataset(
    path: str | PathLike[str] = ...,
    name: str = ...,
    *,
    split: None = ...,
    streaming: Literal[False] = ...,
    data_dir: str | PathLike[str] | None = ...,
) -> "DatasetDict": ...
@overload
def load_dataset(
    path: str | PathLike[str] = ...,
    name: str = ...,
    *,
    split: str,
    streaming: Literal[True],
    data_dir: str | PathLike[str] | None = ...,
) -> "IterableDataset": ...
@overload
def load_dataset(
    path: str | PathLike[str] = ...,
    name: str = ...,
    *,
    split: None = ...,
    streaming: Literal[True],
    data_dir: str | PathLike[str] | None = ...,
) -> "IterableDatasetDict": ...
def load_dataset(
    path: str | PathLike[str] = hook.DATASET_NAME,
    name: str = "pages",
    *,
    split: str | None = None,
    streaming: bool = False,
    data_dir: str | PathLike[str] | None = None,
) -> "Dataset | DatasetDict | IterableDataset | IterableDatasetDict":
    """Load one configuration of a dataset directory with `datasets`.

    The same as `datasets.load_dataset("rope", name, split=..., streaming=..., data_dir=...)` after `import rope`.

    Args:
        path: `"rope"`, or a dataset directory.
        name: `pages`, `videos`, `lives`, or the name of another domain of the dataset with an s, for samples, with
            `frames` as decoded images; `products` or `aligned` for one row a product, with the ids of its samples.
        split: `train` or `validation`, or a slice such as `train[:100]`; None for a dictionary of all splits.
        streaming: read the rows from the Parquet files as they are asked for, instead of through a cache.
        data_dir: the dataset directory where `path` is `"rope"`; None for `ROPE_DATA`, or else the one built last.

    Raises:
        UsageError: an unknown configuration or split, the configuration of a domain that the dataset lacks, two
            directories, or a directory that does not exist.
        DatasetError: no data is found, or the directory is not a finished dataset.
    """
    _check_names(name, split)
    if str(path) != hook.DATASET_NAME:
        if data_dir is not None:
            raise UsageError(f"load_dataset: got two directories, path={path} and data_dir={data_dir}; give one")
        data_dir = path
    directory = locate(Path(data_dir) if data_dir is not None else None)
    _check_domain(directory, name)
    import datasets  # 0.9 s, and of no use where the names or the data are wrong

    hook.install()
    return datasets.load_dataset(hook.DATASET_NAME, name, split=split, streaming=streaming, data_dir=str(directory))


def _check_domain(directory: Path, name: str) -> None:
    """Refuse the configuration of a domain that the dataset lacks; `datasets` would not say what it has instead."""
    there = [*(config_of(domain) for domain in read_manifest(directory).domains), *_OF_PRODUCTS]
    if name not in there:
        raise UsageError(f"{directory}: has no {name}; choose one of {', '.join(there)}")


def _check_names(name: str, split: str | None) -> None:
    if name not in _OF_PRODUCTS and domain_of_config(name) is None:
        raise UsageError(
            f"load_dataset: unknown configuration {name!r}; choose {', '.join(_OF_PRODUCTS)} or the name of a domain "
            "with an s, such as pages"
        )
    for part in (split or SPLITS[0]).split("+"):
        if re.sub(r"\[.*\]$", "", part.strip()) not in SPLITS:
            raise UsageError(f"load_dataset: unknown split {part!r}; choose one of {', '.join(SPLITS)}")
