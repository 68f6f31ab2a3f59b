"""Frames of the training samples, decoded once instead of at every visit.

A small model learns faster from small images than they are decoded. They are kept in the folder of the run, at the size
that crops are taken from, and mapped into memory: all workers share them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.console import progress_bar
from rope.dataset.directory import iter_samples
from rope.dataset.manifest import read_manifest
from rope.domain import CONFIG_OF, DOMAINS, Domain, DomainName, Sample
from rope.errors import DatasetError
from rope.feed import ClipReader
from rope.feed.records import Clip
from rope.media import decode_frames

__all__ = ["FRAMES_NAME", "KeptReader", "forget_frames", "keep_frames", "read_kept"]

FRAMES_NAME: Final = "frames"
"""In the folder of a run, while it trains."""

_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class KeptReader:
    """A replacement for a `rope.feed.ClipReader`: bitwise the same clips.

    Attributes:
        reader: what becomes of decoded frames.
        folder: where they are kept.
        rows: domain -> sample id -> its row in the file of the domain.
    """

    reader: ClipReader
    folder: Path
    rows: Mapping[DomainName, Mapping[str, int]]

    def wanted(self, domain: DomainName) -> int:
        """One frame, the least that can be asked for; it is not decoded."""
        return 1

    def read(self, sample: Sample, seed: int, epoch: int) -> Clip:
        """The sample with its frames, augmented.

        Raises:
            DatasetError: its frames could not be decoded.
        """
        row = self.rows[sample.domain].get(sample.sample_id)
        if row is None:
            raise DatasetError(f"{sample.domain} {sample.sample_id}: could not be decoded when training began")
        return self.reader.clip_of(sample, [*_mapped(self.folder / f"{sample.domain}.npy")[row]], seed, epoch)


def keep_frames(folder: Path, directory: Path, reader: ClipReader, *, progress: bool = False) -> None:
    """Decode the samples of the training split, for `read_kept`; what the folder had before is replaced.

    Args:
        folder: to write.
        directory: the dataset.
        reader: says how many frames and of what size.
        progress: whether to draw a bar on stderr.

    Raises:
        DatasetError: the dataset cannot be read. A sample that cannot be decoded is left out.
    """
    forget_frames(folder)
    folder.mkdir(parents=True)
    counts = read_manifest(directory).counts["train"]
    total = sum(counts[CONFIG_OF[domain]] for domain in DOMAINS)
    with progress_bar("decoding", total, shown=progress) as advance:
        for domain in DOMAINS:
            shape = (counts[CONFIG_OF[domain]], reader.wanted(domain), reader.size, reader.size, 3)
            kept = np.lib.format.open_memmap(folder / f"{domain}.npy", mode="w+", dtype=np.uint8, shape=shape)
            ids: list[str] = []
            for samples in iter_samples(directory, domain, "train", batch_size=_AT_ONCE):
                for sample in samples:
                    try:
                        kept[len(ids)] = decode_frames(sample, shape[1], size=shape[2:4])
                    except DatasetError:
                        continue  # whoever asks for it is told
                    ids.append(sample.sample_id)
                advance(len(samples))
            kept.flush()
            (folder / f"{domain}.json").write_text(json.dumps(ids), "utf-8")


def read_kept(folder: Path, reader: ClipReader) -> KeptReader:
    """The reader of what `keep_frames` wrote."""
    return KeptReader(reader, folder, {domain: _rows(folder, domain) for domain in DOMAINS})


def forget_frames(folder: Path) -> None:
    """Remove what `keep_frames` wrote."""
    _mapped.cache_clear()
    if folder.exists():
        rmtree(folder)


def _rows(folder: Path, domain: Domain) -> dict[str, int]:
    ids = json.loads((folder / f"{domain}.json").read_text("utf-8"))
    return {sample_id: row for row, sample_id in enumerate(ids)}


@lru_cache(maxsize=len(DOMAINS))
def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    """A file of frames uint8 [samples, t, size, size, 3], open for reading in this process."""
    frames: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return frames
