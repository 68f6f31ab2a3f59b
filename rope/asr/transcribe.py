"""Texts for the videos and live clips of a dataset that have sound and no text: heard once each, then written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from rope.asr.cache import AnswerCache, open_cache
from rope.asr.rewrite import SPOKEN, check_target, write_with_texts
from rope.asr.transcriber import Media, Transcriber, Untranscribed, iter_untranscribed, list_media, sound_hash
from rope.asr.whisper import Whisper
from rope.console import progress_bar
from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.errors import DatasetError

__all__ = ["Heard", "TranscriptReport", "transcribe_dataset"]

Heard = Literal["speech", "silent", "no_track", "no_file", "damaged"]
"""What there was: a text; sound in which nobody speaks; a file without sound; frames only; a file that is broken."""

_VERSION: Final = 1
"""Of how a sound is cut, heard and put together; another one makes all texts again."""

_NOTE: Final = (
    "Videos and live clips that had no text have what a speech model heard in them. `speech_of` is the fingerprint of "
    "the dataset without, `speech_sounds` a hash of all that was listened to."
)

_Keys = dict[tuple[str, str], str]
"""Configuration and id of a sample -> what the text of its sound is kept under."""


@dataclass(frozen=True, slots=True)
class TranscriptReport:
    """The outcome of a transcription.

    Attributes:
        manifest: of the new dataset.
        counts: samples that had no text, by what there was to hear; only speech gives a text.
        damaged: a sentence for each broken file.
        n_heard: different sounds that the model heard now; the others were in the cache.
        is_new: False if the dataset was there already; then nothing was heard or counted.
    """

    manifest: DatasetManifest
    counts: dict[Heard, int]
    damaged: tuple[str, ...]
    n_heard: int
    is_new: bool


@dataclass(slots=True)
class _Found:
    """What a look through the samples gives."""

    keys: _Keys
    n_without_file: int
    damaged: dict[tuple[str, str], str]


def transcribe_dataset(
    directory: Path,
    out: Path,
    model: Whisper,
    *,
    cache: Path,
    media: Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> TranscriptReport:
    """Write a dataset in which videos and live clips without a text have what is said in them; all else is as it was.

    Every distinct sound is transcribed once, and its text stored as soon as it is complete: a stopped run resumes where
    it was. The new dataset is written when all have been heard. A broken file is named in the report, and its sample
    stays without a text.

    Args:
        directory: a dataset directory.
        out: the new one; empty, not there, or what this function wrote from the same dataset, sounds and model.
        model: what hears.
        cache: the file of texts; one file serves many datasets and models.
        media: a folder with files `videos/ID.SUFFIX` and `lives/ID.SUFFIX`, for samples that have none of their own.
        overwrite: remove what an unfinished dataset with other texts left in `out`, and start over.
        progress: whether to draw bars on stderr.

    Raises:
        DatasetError: the dataset cannot be read, or there is nothing in it to hear.
        UsageError: `out` is something else, or `media` has no such folders.
    """
    source = read_manifest(directory)
    shards = [name for name in sorted(source.shards) if name.partition("/")[0] in SPOKEN]
    files = {} if media is None else list_media(media, SPOKEN)
    found = _look(directory, shards, files, model, progress)
    if not found.keys:
        raise DatasetError(_nothing(directory, found, media))
    lineage = {
        "speech_of": source.fingerprint,
        "speech_model": model.name,
        "speech_fingerprint": model.fingerprint,
        "speech_language": model.language,
        "speech_sounds": _hash(found.keys),
    }
    if check_target(out, source, lineage, overwrite=overwrite):
        return TranscriptReport(read_manifest(out), {}, (), 0, is_new=False)
    with open_cache(cache) as answers:
        n_heard = _hear_missing(iter_untranscribed(directory, shards, files), found, model, answers, progress)
        texts, counts = _texts(found, answers)

        def replaced(config: str, rows: pa.Table) -> list[str | None]:
            ids, old = rows["sample_id"].to_pylist(), rows["text"].to_pylist()
            return [texts.get((config, i)) if text is None else text for i, text in zip(ids, old, strict=True)]

        manifest, is_new = write_with_texts(
            directory, out, frozenset(shards), replaced, lineage, _NOTE, overwrite=overwrite, progress=progress
        )
    return TranscriptReport(manifest, counts, tuple(found.damaged.values()), n_heard, is_new)


def _look(directory: Path, shards: list[str], files: Media, model: Whisper, progress: bool) -> _Found:
    """Hash the sounds of all samples that have no text."""
    found = _Found({}, 0, {})
    with progress_bar("looking for sound", len(shards), shown=progress) as advance:
        for name in shards:
            for sample in iter_untranscribed(directory, [name], files):
                _add(found, sample, model)
            advance(1)
    return found


def _add(found: _Found, sample: Untranscribed, model: Whisper) -> None:
    if sample.sound is None:
        found.n_without_file += 1
        return
    try:
        found.keys[sample.config, sample.sample_id] = _key(model, sound_hash(sample.sound))
    except DatasetError as error:
        found.damaged[sample.config, sample.sample_id] = f"{sample.name}: {error}"


def _key(model: Whisper, content: str) -> str:
    return hashlib.sha256(f"{_VERSION} {model.fingerprint} {content}".encode()).hexdigest()


def _hash(keys: _Keys) -> str:
    """One hash of which sample has which sound, regardless of their order."""
    lines = (f"{config} {len(sample_id)}:{sample_id} {key}\n" for (config, sample_id), key in keys.items())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _nothing(directory: Path, found: _Found, media: Path | None) -> str:
    if found.damaged:
        return f"{directory}: no sound can be read: {next(iter(found.damaged.values()))}"
    if not found.n_without_file:
        return f"{directory}: nothing to transcribe: every video and live clip has a text"
    where = "" if media is None else f", and none has a file in {media}"
    return (
        f"{directory}: nothing to transcribe: the {found.n_without_file:,} videos and live clips without a text are "
        f"frames, which have no sound{where}; with --media name a folder that has videos/ID.mp4 or lives/ID.mp4"
    )


def _hear_missing(
    untranscribed: Iterable[Untranscribed], found: _Found, model: Whisper, answers: AnswerCache, progress: bool
) -> int:
    """Hear the sounds whose texts are not kept; returns how many."""
    there = answers.get(list(dict.fromkeys(found.keys.values())))
    missing = {key for key in found.keys.values() if key not in there}
    n_missing, transcriber = len(missing), Transcriber(model, answers)
    if not missing:
        return 0
    with progress_bar("transcribing", n_missing, shown=progress) as advance:
        for sample in untranscribed:
            key = found.keys.get((sample.config, sample.sample_id), "")
            if sample.sound is None or key not in missing:
                continue
            missing.remove(key)
            try:
                transcriber.listen(key, sample.sound)
            except DatasetError as error:
                _leave_out(found, key, f"{sample.name}: {error}")
            advance(1)
        transcriber.finish()
    return n_missing


def _leave_out(found: _Found, key: str, why: str) -> None:
    """Move the samples with a sound to the damaged ones."""
    for place in [place for place, own in found.keys.items() if own == key]:
        found.damaged[place] = why
        del found.keys[place]


def _texts(found: _Found, answers: AnswerCache) -> tuple[Mapping[tuple[str, str], str], dict[Heard, int]]:
    """The texts of samples in whose sounds somebody speaks, and how many samples had what."""
    kept = answers.get(list(dict.fromkeys(found.keys.values())))
    counts: Counter[Heard] = Counter(
        "speech" if kept[key].text else "silent" if kept[key].prompt_tokens else "no_track"
        for key in found.keys.values()
    )
    counts.update({"no_file": found.n_without_file, "damaged": len(found.damaged)})
    texts = {place: kept[key].text for place, key in found.keys.items() if kept[key].text}
    return texts, dict(counts)
