"""Finds the samples that have sound and no text, and transcribes them with a speech model."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rope.asr.answers import ChatAnswer
from rope.asr.cache import AnswerCache
from rope.asr.speech import CHUNK_S, RATE, joined, split_sound
from rope.asr.whisper import Whisper
from rope.dataset.directory import iter_rows
from rope.domain import Audio
from rope.errors import DatasetError, UsageError
from rope.files import sha256_of
from rope.media.audio import Sound, iter_audio

__all__ = ["Transcriber", "Untranscribed", "iter_untranscribed", "list_media", "sound_hash"]

_ROWS: Final = 32

Media = dict[tuple[str, str], Path]
"""Configuration and sample id -> file."""


@dataclass(frozen=True, slots=True)
class Untranscribed:
    """A sample without a text.

    Attributes:
        config: where it is, as `videos`.
        sample_id: unique there.
        sound: the file that may have its sound; None where there is none.
    """

    config: str
    sample_id: str
    sound: Audio | None

    @property
    def name(self) -> str:
        """The name in error messages."""
        return f"{self.config} {self.sample_id}"


def list_media(folder: Path, configs: Iterable[str]) -> Media:
    """The files `videos/ID.mp4`, `lives/ID.wav` and so on of a folder, regardless of their suffixes; hidden ones not.

    Raises:
        UsageError: the folder has none of these folders, or two files for one id.
    """
    found: Media = {}
    there = [config for config in configs if (folder / config).is_dir()]
    if not there:
        raise UsageError(f"--media {folder}: has no folder {' or '.join(configs)} with files that are called by id")
    for config in there:
        for path in sorted(path for path in (folder / config).iterdir() if path.is_file() and path.name[0] != "."):
            if (config, path.stem) in found:
                raise UsageError(f"{path}: next to it is {found[config, path.stem].name}; expected one file for an id")
            found[config, path.stem] = path
    return found


def iter_untranscribed(directory: Path, shards: Iterable[str], media: Media) -> Iterator[Untranscribed]:
    """The samples of some shards that have no text, in order, each with its own file, else that of `media`.

    Raises:
        DatasetError: a shard cannot be read.
    """
    for name in shards:
        config = name.partition("/")[0]
        for row in iter_rows([directory / name], ("sample_id", "text"), ("video", "audio"), batch_size=_ROWS):
            if row["text"] is None:
                yield Untranscribed(config, row["sample_id"], _sound_of(row, media.get((config, row["sample_id"]))))


def sound_hash(sound: Audio) -> str:
    """SHA-256, in hex, of a file.

    Raises:
        DatasetError: it cannot be read.
    """
    if sound.data is not None:
        return hashlib.sha256(sound.data).hexdigest()
    try:
        return sha256_of(Path(str(sound.path)))
    except OSError as error:
        raise DatasetError(f"{sound.path}: cannot be read: {error.strerror}") from error


class Transcriber:
    """Hears sounds one after the other, several parts at a time, and keeps the text of each once it is whole.

    Args:
        model: what hears.
        answers: where texts are kept, under keys of the caller's; with how many parts there were to hear.
    """

    def __init__(self, model: Whisper, answers: AnswerCache) -> None:
        self._model, self._answers = model, answers
        self._waiting: list[tuple[str, Sound]] = []
        self._texts: dict[str, list[str]] = {}
        self._ended: list[str] = []

    def listen(self, key: str, sound: Audio) -> None:
        """Hear a sound; memory does not grow with its length.

        Raises:
            DatasetError: it is damaged; then nothing of it is kept.
        """
        self._texts[key] = []
        try:
            for part in split_sound(iter_audio(sound, RATE, RATE * CHUNK_S)):
                self._waiting.append((key, part))
                if len(self._waiting) >= self._model.batch_size:
                    self._hear()
        except DatasetError:
            self._waiting = [(other, part) for other, part in self._waiting if other != key]
            del self._texts[key]
            raise
        self._ended.append(key)
        self._keep()

    def finish(self) -> None:
        """Hear what waits for a full batch."""
        self._hear()

    def _hear(self) -> None:
        texts = self._model.hear([part for _, part in self._waiting])
        for (key, _), text in zip(self._waiting, texts, strict=True):
            self._texts[key].append(text)
        self._waiting = []
        self._keep()

    def _keep(self) -> None:
        """Keep the texts of the sounds that have been heard to their end."""
        waiting = {key for key, _ in self._waiting}
        for key in [key for key in self._ended if key not in waiting]:
            parts = self._texts.pop(key)
            self._answers.put(key, ChatAnswer(joined(parts), prompt_tokens=len(parts)))
            self._ended.remove(key)


def _sound_of(row: dict[str, Any], path: Path | None) -> Audio | None:
    """The file of a row itself, else the one at a path."""
    if own := row.get("video") or row.get("audio"):
        return Audio(own["bytes"], own["path"])
    return None if path is None else Audio(path=str(path))
