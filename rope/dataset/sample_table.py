"""Random access to samples by row."""

from rope.dataset.load import load_dataset
from rope.dataset.sample_rows import sample_columns, to_sample
from rope.domain import DomainName, Sample, Split, config_of
from rope.files import AnyPath

__all__ = ["SampleTable"]


class SampleTable:
    """The samples of one domain and split, in canonical order, read at random.

    They come from the cache of `datasets`, an uncompressed copy of the shards that is made at first use and mapped
    into memory: a sample then costs the bytes of its frames, where Parquet would cost a row group of 16 MB.
    Can be pickled and forked; all processes share the cache.
    """

    def __init__(self, directory: AnyPath, domain: DomainName, split: Split, *, has_sound: bool = False) -> None:
        """Open the table; `has_sound` reads the sounds of samples that consist of frames, too."""
        rows = load_dataset(directory, config_of(domain), split=split)
        columns = sample_columns(rows.column_names, has_sound=has_sound)
        self._rows = rows.select_columns(columns).with_format("arrow")
        self._domain = domain

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, row: int, n_frames: int) -> Sample:
        """The sample in a row, from 0, with the frames that decoding `n_frames` needs."""
        return to_sample(self._rows[row], 0, self._domain, n_frames)
