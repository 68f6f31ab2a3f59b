"""What frozen towers make of a dataset, embedded once and kept on disk.

A file is named by the digest of the split's files and by all that decides the numbers, so that it is never wrong for
another dataset or tower, and never has to be removed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedTokenizerBase

from cope.backbones import BackboneText, BackboneVision, FrameEncoder
from cope.model import Cope
from cope.titles import EMPTY_TEXT, Tokens, tokenize_for
from rope.console import progress_bar
from rope.dataset.directory import iter_samples, reading, shard_names
from rope.dataset.manifest import read_manifest
from rope.domain import CONFIG_OF, DOMAINS, Domain, DomainName, Sample, Split
from rope.encoders.identity import fingerprint_of
from rope.errors import DatasetError
from rope.feed.records import Clip
from rope.files import atomic_path
from rope.media import decode_frames

__all__ = ["CachedReader", "TowerCache", "make_tower_cache", "texts_of"]

_AT_ONCE: Final = 32
_SPLITS: Final[tuple[Split, ...]] = ("train", "validation")

Rows = Mapping[str, torch.Tensor]
"""By sample id, or by text."""


@dataclass(frozen=True, slots=True)
class TowerCache:
    """Features of frozen towers.

    Attributes:
        frames: domain -> sample id -> float32 [t, width]; None where the visual tower is not frozen, or sees images
            that are augmented.
        texts: text -> float32 [width]; None where the text tower is not frozen.
    """

    frames: Mapping[str, Rows] | None
    texts: Rows | None

    def frames_of(self, domain: DomainName, sample_id: str) -> torch.Tensor:
        """The features of a sample's frames, [t, width].

        Raises:
            DatasetError: its frames could not be decoded.
        """
        assert self.frames is not None
        if sample_id not in self.frames[domain]:
            raise DatasetError(f"{domain} {sample_id}: its frames could not be decoded when the towers embedded them")
        return self.frames[domain][sample_id]

    def tokens_of(self, texts: Sequence[str | None]) -> Tokens:
        """The features of texts, instead of their tokens; None is the empty text."""
        assert self.texts is not None
        features = torch.stack([self.texts[text or EMPTY_TEXT] for text in texts])
        return Tokens(features, torch.ones(len(features), 1))


@dataclass(frozen=True, slots=True)
class CachedReader:
    """A replacement for a `rope.feed.ClipReader`: features instead of frames."""

    cache: TowerCache

    def wanted(self, domain: DomainName) -> int:
        """One frame, the least that can be requested; it is not decoded."""
        return 1

    def read(self, sample: Sample, seed: int, epoch: int) -> Clip:
        """The sample with the features of its frames."""
        return Clip(sample.sample_id, sample.text, self.cache.frames_of(sample.domain, sample.sample_id))


def make_tower_cache(
    folder: Path,
    directory: Path,
    model: Cope,
    tokenizer: PreTrainedTokenizerBase,
    *,
    augments: bool,
    writes: bool = True,
    progress: bool = False,
) -> TowerCache | None:
    """Embed what frozen towers can embed once, or read it where that was done before.

    Args:
        folder: where files are kept.
        directory: the dataset.
        model: on the device to work on.
        tokenizer: of the texts.
        augments: whether images are changed at random, so that each has many features.
        writes: whether this process is the one that embeds what is missing.
        progress: whether to draw a bar on stderr.

    Returns:
        None where no tower is frozen.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    vision, text = model.vision, model.text
    frames: dict[str, Rows] | None = None
    texts: Rows | None = None
    if isinstance(vision, BackboneVision) and vision.encoder.config.tuning == "frozen" and not augments:
        frames = {
            domain: _frames(folder, directory, vision.encoder, domain, model.config.num_frames, writes, progress)
            for domain in DOMAINS
        }
    if isinstance(text, BackboneText) and text.config.tuning == "frozen":
        texts = _texts(folder, directory, text, tokenizer, model.config.text_domains, writes)
    return None if frames is None and texts is None else TowerCache(frames, texts)


def texts_of(directory: Path, domains: Iterable[Domain], splits: Iterable[str]) -> Iterable[str | None]:
    """The texts of the samples of some domains and splits."""
    manifest = read_manifest(directory)
    for split in splits:
        for name in (name for domain in domains for name in shard_names(manifest, CONFIG_OF[domain], split)):
            with reading(directory / name):
                yield from pq.read_table(directory / name, columns=["text"])["text"].to_pylist()


def _frames(
    folder: Path, directory: Path, encoder: FrameEncoder, domain: Domain, n_frames: int, writes: bool, progress: bool
) -> Rows:
    rows: dict[str, torch.Tensor] = {}
    tower = _identity(encoder) + fingerprint_of(encoder.prepare, without=["_source"])
    for split in _SPLITS:
        digest = read_manifest(directory).files_digest(split)
        stem = folder / _name("frames", digest, tower, split, domain, str(n_frames))
        if writes and not stem.with_suffix(".json").exists():
            _write(stem, _embed_frames(directory, encoder, domain, split, n_frames, progress))
        rows |= _read(stem)
    return rows


@torch.inference_mode()
def _embed_frames(
    directory: Path, encoder: FrameEncoder, domain: Domain, split: Split, n_frames: int, progress: bool
) -> dict[str, torch.Tensor]:
    device, rows = next(encoder.parameters()).device, dict[str, torch.Tensor]()
    total = read_manifest(directory).counts[split][CONFIG_OF[domain]]
    with progress_bar(f"embedding {split} {domain}s", total, shown=progress) as advance:
        for samples in iter_samples(directory, domain, split, batch_size=_AT_ONCE):
            prepared = {}
            for sample in samples:
                try:
                    frames = decode_frames(sample, 1 if domain == "page" else n_frames)
                except DatasetError:
                    continue  # whoever asks for it is told
                prepared[sample.sample_id] = encoder.prepare(frames)
            if prepared:
                made = encoder(torch.stack([*prepared.values()]).to(device)).cpu()
                rows |= dict(zip(prepared, made, strict=True))
            advance(len(samples))
    return rows


def _texts(
    folder: Path,
    directory: Path,
    tower: BackboneText,
    tokenizer: PreTrainedTokenizerBase,
    domains: Sequence[Domain],
    writes: bool,
) -> Rows:
    manifest = read_manifest(directory)
    digests = [manifest.files_digest(split) for split in _SPLITS]
    identity = _identity(tower) + fingerprint_of(_Holder(tokenizer)) + tower.config.prefix
    stem = folder / _name("texts", *digests, identity, str(tokenizer.model_max_length), *domains)
    if writes and not stem.with_suffix(".json").exists():
        texts = sorted({text or EMPTY_TEXT for text in [None, *texts_of(directory, domains, _SPLITS)]})
        _write(stem, _embed_texts(texts, tower, tokenizer))
    return _read(stem)


@dataclass
class _Holder:
    tokenizer: PreTrainedTokenizerBase


def _identity(tower: FrameEncoder | BackboneText) -> str:
    """Of a tower by its weights and code; not where they came from, nor what else a recipe says of it."""
    return f"{fingerprint_of(tower, without=['config'])} {tower.config.tokens} "


@torch.inference_mode()
def _embed_texts(
    texts: Sequence[str], tower: BackboneText, tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    device, rows = next(tower.parameters()).device, dict[str, torch.Tensor]()
    for start in range(0, len(texts), _AT_ONCE):
        part = texts[start : start + _AT_ONCE]
        made = tower(*(tokens.to(device) for tokens in tokenize_for(tower, tokenizer, part))).cpu()
        rows |= dict(zip(part, made, strict=True))
    return rows


def _write(stem: Path, rows: Rows) -> None:
    """The numbers, and then the names, which say that both are whole."""
    with atomic_path(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([row.numpy() for row in rows.values()]) if rows else np.empty(0, np.float32))
    with atomic_path(stem.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps([*rows], ensure_ascii=False), "utf-8")


def _read(stem: Path) -> dict[str, torch.Tensor]:
    names = json.loads(stem.with_suffix(".json").read_text("utf-8"))
    return dict(zip(names, torch.from_numpy(np.load(stem.with_suffix(".npy"))), strict=True))


def _name(*parts: str) -> str:
    return f"{parts[0]}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"
