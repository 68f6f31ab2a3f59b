"""The texts of videos and live clips of a dataset, summarised: asked once each, then written as a new dataset."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.asr.answers import ChatAnswer, ChatModel, Outcome, outcome, summary
from rope.asr.cache import AnswerCache, open_cache
from rope.asr.prompt import Prompt
from rope.asr.rewrite import SPOKEN, check_target, write_with_texts
from rope.console import progress_bar
from rope.dataset.directory import reading
from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.errors import RopeError

__all__ = ["SummaryReport", "summarize_dataset"]

_TEXTS_AT_ONCE: Final = 8192

_NOTE: Final = (
    "The texts of videos and live clips are summaries of the recognised speech, written by a language model. `asr_of` "
    "is the fingerprint of the dataset that has the speech."
)


@dataclass(frozen=True, slots=True)
class SummaryReport:
    """What was asked, and what came of it.

    Attributes:
        manifest: of the new dataset.
        outcomes: of all texts that are there; `empty` and `refused` ones became null.
        n_null: samples that had no text before.
        n_asked: different texts that the model was asked about now; the others were in the cache.
        prompt_tokens: read by the model now.
        completion_tokens: written by it now.
        is_new: False if the dataset was there already; then nothing was asked or counted.
    """

    manifest: DatasetManifest
    outcomes: dict[Outcome, int]
    n_null: int
    n_asked: int
    prompt_tokens: int
    completion_tokens: int
    is_new: bool

    def cost(self, price_in: float, price_out: float) -> float:
        """What the tokens of this run cost, at prices for a million tokens read and written."""
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6


def summarize_dataset(
    directory: Path,
    out: Path,
    model: ChatModel,
    prompt: Prompt,
    *,
    cache: Path,
    overwrite: bool = False,
    progress: bool = True,
) -> SummaryReport:
    """Write a dataset whose videos and live clips have summaries for texts; all else is as in the old one.

    Every distinct text is sent once, and answers are stored as they come: a run that was stopped resumes where it
    was. The new dataset is written when all answers are there.

    Args:
        directory: a dataset directory.
        out: the new one; empty, not there, or what this function wrote from the same dataset, model and prompt.
        model: who answers.
        prompt: what it is told.
        cache: the file of answers; one file serves many datasets and models.
        overwrite: remove what an unfinished dataset with other texts left in `out`, and start over.
        progress: whether to draw bars on stderr.

    Raises:
        DatasetError: the dataset cannot be read.
        UsageError: `out` is something else, or the model refuses what is asked.
        RopeError: some texts got no answer; run again.
    """
    source = read_manifest(directory)
    lineage = {
        "asr_of": source.fingerprint,
        "asr_model": model.name,
        "asr_prompt": prompt.fingerprint,
    }
    if check_target(out, source, lineage, overwrite=overwrite):
        return SummaryReport(read_manifest(out), {}, 0, 0, 0, 0, is_new=False)
    shards = [name for name in sorted(source.shards) if name.split("/")[0] in SPOKEN]
    outcomes: Counter[Outcome] = Counter()
    n_null, spent = 0, _Spent()
    with open_cache(cache) as answers:
        with progress_bar("summarising", sum(source.shards[name].rows for name in shards), shown=progress) as advance:
            for texts in _texts(directory, shards):
                some = _Some(prompt, model, texts)
                _ask(some, answers, spent)
                found = some.found(answers)
                outcomes.update(outcome(found[text]) for text in texts if text is not None and text in found)
                n_null += texts.count(None)
                advance(len(texts))
        if spent.lost:
            raise RopeError(
                f"{spent.lost:,} texts got no answer ({spent.reason}); nothing was written to {out}, and "
                f"{spent.asked:,} answers are kept: run the same command again"
            )

        def replaced(_: str, rows: pa.Table) -> list[str | None]:
            texts: list[str | None] = rows["text"].to_pylist()
            found = _Some(prompt, model, texts).found(answers)
            return [None if text is None else summary(found[text]) for text in texts]

        manifest, is_new = write_with_texts(
            directory, out, frozenset(shards), replaced, lineage, _NOTE, overwrite=overwrite, progress=progress
        )
    return SummaryReport(
        manifest, dict(outcomes), n_null, spent.asked, spent.prompt_tokens, spent.completion_tokens, is_new
    )


@dataclass(slots=True)
class _Spent:
    """What a run has used up."""

    asked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lost: int = 0
    reason: str = ""

    def add(self, answer: ChatAnswer) -> None:
        self.asked += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens


class _Some:
    """The different texts of some samples, each with its key in the cache."""

    def __init__(self, prompt: Prompt, model: ChatModel, texts: list[str | None]) -> None:
        self.prompt, self.model = prompt, model
        self.key_of = {text: prompt.key(model.name, text) for text in dict.fromkeys(texts) if text is not None}

    def found(self, answers: AnswerCache) -> dict[str, ChatAnswer]:
        """The answers that are there, by text."""
        by_key = answers.get(list(self.key_of.values()))
        return {text: by_key[key] for text, key in self.key_of.items() if key in by_key}


def _ask(some: _Some, answers: AnswerCache, spent: _Spent) -> None:
    """Ask about the texts whose answers are not there, and keep the answers."""
    there = answers.get(list(some.key_of.values()))
    text_of = {key: text for text, key in some.key_of.items() if key not in there}  # cut texts may share a key
    keys = list(text_of)

    def keep(index: int, answer: ChatAnswer) -> None:
        answers.put(keys[index], answer)
        spent.add(answer)

    if keys:
        lost = some.model.answer([some.prompt.conversation(text) for text in text_of.values()], keep)
        spent.lost += len(lost)
        spent.reason = lost[-1].reason if lost else spent.reason


def _texts(directory: Path, shards: list[str]) -> Iterator[list[str | None]]:
    """The texts of shards, at most so many at a time."""
    for name in shards:
        with reading(directory / name), pq.ParquetFile(directory / name) as shard:
            batches: Iterator[pa.RecordBatch] = shard.iter_batches(_TEXTS_AT_ONCE, columns=["text"])
            for batch in batches:
                yield batch["text"].to_pylist()
