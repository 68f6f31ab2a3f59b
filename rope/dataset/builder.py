"""How `datasets` reads a dataset directory: the shards that `rope.json` names, checked against it, split by split.

`datasets` itself would look for files by pattern, so that a folder named `run[12]` gave the rows of a folder `run1`
next to it. Here every file follows from the manifest and is opened by its own path, and a shard whose number of rows is
not the one in the manifest is refused. A split is converted when it is requested, in a cache folder of its own.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from datasets import (
    ArrowBasedBuilder,
    Dataset,
    DatasetDict,
    DatasetInfo,
    Features,
    ReadInstruction,
    Split,
    SplitGenerator,
    concatenate_datasets,
)
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError
from datasets.load import BuilderConfigsParameters, DatasetModule
from datasets.packaged_modules.parquet.parquet import ParquetConfig
from datasets.table import table_cast

from rope.dataset.card import citation_of, origin_of
from rope.dataset.directory import open_shard, reading, shard_names
from rope.dataset.locate import as_directory, locate
from rope.dataset.manifest import MANIFEST_NAME, read_manifest
from rope.errors import DatasetError, RopeError, UsageError
from rope.files import sha256_of

__all__ = ["Shards", "ShardsConfig", "dataset_module"]

_HOMEPAGE: Final = "https://github.com/adxcreative/COPE"


@dataclass
class ShardsConfig(ParquetConfig):  # type: ignore[misc]  # `datasets` ships no types
    """One configuration of a dataset directory, with the options that `datasets` has for Parquet.

    Attributes:
        directory: the dataset directory.
        folder: of the shards; `aligned` has those of `products`.
        splits: the splits to prepare; None for all, each when it is requested.
    """

    directory: str = ""
    folder: str = ""
    splits: tuple[str, ...] | None = None


def dataset_module(address: str | None, data_files: object = None) -> DatasetModule:
    """What `datasets` needs to know of a dataset directory: its configurations, and the class that reads them.

    Args:
        address: a dataset directory, or None for the one that `rope.dataset.locate` finds.
        data_files: what the caller of `datasets` gave; there must be none.

    Raises:
        UsageError: there are `data_files`, or the directory does not exist.
        DatasetError: the directory is not a finished dataset, or none is known.
    """
    if data_files is not None:
        raise UsageError("load_dataset: got data_files; the files follow from the configuration and the split")
    directory = locate(address)
    manifest = read_manifest(directory)
    configs = [ShardsConfig(name, directory=str(directory), folder=name) for name in manifest.loadable[:-1]]
    columns = ["product_id", *manifest.id_columns]
    configs.append(ShardsConfig("aligned", directory=str(directory), folder="products", columns=columns))
    return DatasetModule(
        __name__,
        # The folder of the cache is named by this, so that it holds the rows of this dataset and of no other.
        sha256_of(directory / MANIFEST_NAME)[:16],
        # The directory is in `configs`; `datasets` would look for a folder named `data_dir` inside.
        {"base_path": str(directory), "dataset_name": "rope", "data_dir": None},
        BuilderConfigsParameters(builder_configs=configs, default_config_name=configs[0].name),
    )


class Shards(ArrowBasedBuilder):  # type: ignore[misc]  # `datasets` ships no types
    """Builds tables from the shards of one configuration."""

    BUILDER_CONFIG_CLASS = ShardsConfig
    config: ShardsConfig

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- another library's types
        self._created_with = options
        self._prepare: Callable[[Shards], None] = Shards.download_and_prepare
        super().__init__(*args, **options)
        self._check_columns()

    def _check_columns(self) -> None:
        stored, columns = self.info.features, self.config.columns
        if columns is not None and (isinstance(columns, str) or not columns):
            raise UsageError(f"{self.config.name}: columns is {columns!r}, expected a list of names, or None for all")
        if unknown := [name for name in columns or () if stored is not None and name not in stored]:
            raise UsageError(f"{self.config.name}: has no column {unknown[0]!r}; choose one of {', '.join(stored)}")

    def _info(self) -> DatasetInfo:
        manifest = read_manifest(as_directory(self.config.directory))
        return DatasetInfo(
            description=f"{manifest.name}: products on product pages, in short videos and in live streams. "
            f"Fingerprint {manifest.fingerprint}.",
            citation=citation_of(manifest),
            homepage=_HOMEPAGE if manifest.source.get("kind") == "rope_release" else "",
            license=origin_of(manifest),
            features=self.config.features,
        )

    # -- split by split -----------------------------------------------------------------------------------------------

    def download_and_prepare(self, output_dir: str | None = None, **options: Any) -> None:  # noqa: ANN401
        """Convert the splits of this builder now; where it has all, convert each when `as_dataset` asks for it."""
        if output_dir is None and self.config.splits is None:
            self._prepare = functools.partial(Shards.download_and_prepare, **options)
        else:
            super().download_and_prepare(output_dir, **options)

    def as_dataset(
        self,
        split: Any = None,  # noqa: ANN401 -- a type that `datasets` does not ship
        in_memory: bool = False,
    ) -> Any:  # noqa: ANN401 -- a table, or a list or dictionary of tables, as `split` is
        """The rows of a split, an expression of splits, or several of either; of all splits where none is named."""
        if self.config.splits is not None or self._output_dir != self._cache_dir:
            return super().as_dataset(split, in_memory)
        if split is None:
            split = {name: name for name in self._splits()}
        if isinstance(split, Mapping):
            return DatasetDict({key: self.as_dataset(value, in_memory) for key, value in split.items()})
        if isinstance(split, list | tuple):
            return [self.as_dataset(value, in_memory) for value in split]
        if not isinstance(split, ReadInstruction):
            named = "+".join(self._splits()) if str(split) == "all" else str(split)
            split = ReadInstruction.from_spec(named)
        parts = [self._part(instruction, in_memory) for instruction in split._relative_instructions]
        return concatenate_datasets(parts) if len(parts) > 1 else parts[0]

    def _part(self, instruction: Any, in_memory: bool) -> Dataset:  # noqa: ANN401 -- a type that `datasets` keeps
        """The rows that one instruction names, of one split."""
        name = instruction.splitname
        self._check_split(name)
        part = type(self)(**{**self._created_with, "splits": (name,)})
        try:
            self._prepare(part)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, RopeError):  # which says what is wrong, where its wrapper does not
                raise error.__cause__ from None
            raise
        found, wanted = part.info.splits[name].num_examples, part._n_rows(name)
        if found != wanted and self.config.filters is None:
            raise DatasetError(
                f"{self.config.directory}: {self.config.name} of {name} has {found} rows in the cache of datasets, but "
                f"rope.json says {wanted}; remove {part.cache_dir} and load again"
            )
        one = ReadInstruction._read_instruction_from_relative_instructions([instruction])
        return part.as_dataset(Split(name) if one.to_spec() == name else one, in_memory)

    def _splits(self) -> list[str]:
        counts = read_manifest(as_directory(self.config.directory)).counts
        return [name for name in counts if self.config.splits is None or name in self.config.splits]

    def _check_split(self, name: str) -> None:
        if name not in self._splits():
            splits = ", ".join(self._splits())
            raise UsageError(f"{self.config.directory}: has no split {name!r}; choose one of {splits}")

    def _n_rows(self, split: str) -> int:
        manifest = read_manifest(as_directory(self.config.directory))
        return sum(manifest.shards[name].rows for name in shard_names(manifest, self.config.folder, split))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:  # noqa: ANN401
        manifest = read_manifest(as_directory(self.config.directory))
        shards = {split: shard_names(manifest, self.config.folder, split) for split in self._splits()}
        if self.info.features is None:
            first = next(name for names in shards.values() for name in names)
            with open_shard(as_directory(self.config.directory) / first) as shard:
                self.info.features = Features.from_arrow_schema(shard.schema_arrow)
        if self.config.columns is not None:
            self._check_columns()
            self.info.features = Features({name: self.info.features[name] for name in self.config.columns})
        return [SplitGenerator(name=split, gen_kwargs={"files": names}) for split, names in shards.items()]

    def _generate_shards(self, files: Sequence[str]) -> Iterator[str]:
        yield from files

    def _generate_tables(self, files: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
        directory = as_directory(self.config.directory)
        manifest = read_manifest(directory)
        where = self.config.filters
        expression = pq.filters_to_expression(where) if isinstance(where, list) else where
        layout = ds.ParquetFileFormat(default_fragment_scan_options=self.config.fragment_scan_options)
        for number, name in enumerate(files):
            with reading(directory / name), (directory / name).open("rb") as file:
                fragment = layout.make_fragment(file)
                _check_rows(f"{directory / name}", fragment.metadata.num_rows, manifest.shards[name].rows)
                size = self.config.batch_size or (fragment.row_groups[0].num_rows if fragment.row_groups else 1)
                batches = fragment.to_batches(
                    batch_size=max(size, 1),
                    columns=self.config.columns,
                    filter=expression,
                    batch_readahead=0,
                    fragment_readahead=0,
                )
                for i, batch in enumerate(batches):
                    yield Key(number, i), table_cast(pa.Table.from_batches([batch]), self.info.features.arrow_schema)


def _check_rows(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise DatasetError(
            f"{name}: has {found} rows, but rope.json says {expected}; the shard is not the one that was built, so "
            "build or pull the dataset again"
        )
