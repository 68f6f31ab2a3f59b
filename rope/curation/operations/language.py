"""The language of a text, among those of a pool: what its script does not tell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from rope.config import check_record
from rope.curation.operations.plugged import load_model
from rope.curation.operations.quality import script_of
from rope.curation.pipeline.operation import MapOperation, Outcome, divide
from rope.curation.wide import new_column
from rope.errors import UsageError
from rope.extras import needed_by

__all__ = ["LANGUAGE", "Language", "LanguageModel", "find_language"]

LanguageModel = Callable[[Sequence[str]], Sequence[tuple[str, float]]]
"""From texts to the language of each and how probable it is. An attribute `fingerprint` says when it has changed."""


@dataclass(frozen=True, slots=True)
class Language:
    """Options of the operation `language`.

    Attributes:
        languages: that texts may be in, by their codes in ISO 639-1. The fewer there are, the more often a short text
            is told right.
        model: `module:function`, a `LanguageModel`; None takes py3langid.

    Raises:
        UsageError: fewer than two languages are named, and no model.
    """

    languages: list[str] = field(default_factory=list)
    model: str | None = None

    def __post_init__(self) -> None:
        check_record(self)
        if self.model is None and len(set(self.languages)) < 2:
            raise UsageError(
                "language: languages: expected the two or more that texts of the pool are in, such as "
                '["en", "de", "zh"], or a model'
            )


def find_language(batch: pa.RecordBatch, options: Language) -> Outcome:
    """Add `language`, and `language_probability` among the languages; rejects nothing.

    A text without letters has the language `none`, and no probability.

    Raises:
        UsageError: a language is unknown, the function does not exist, or it does not return a pair for each text.
    """
    texts = [text or "" for text in batch["text"].to_pylist()]
    told = [text for text in texts if script_of(text) != "none"]
    languages = tuple(sorted(set(options.languages)))
    found = _identify(told, languages) if options.model is None else _ask(told, options.model)
    answers: Iterator[tuple[str, float | None]] = iter(found)
    pairs = [next(answers) if script_of(text) != "none" else ("none", None) for text in texts]
    batch = new_column(batch, "language", pa.array([code for code, _ in pairs], pa.string()), "language")
    probability = pa.array([share for _, share in pairs], pa.float64())
    batch = new_column(batch, "language_probability", probability, "language")
    return divide(batch, [None] * batch.num_rows)


def _identify(texts: Sequence[str], languages: tuple[str, ...]) -> list[tuple[str, float]]:
    classify = _identifier(languages).classify
    found = [classify(text) for text in texts]
    return [(code, round(share, 4)) for code, share in found]


@lru_cache(maxsize=4)
def _identifier(languages: tuple[str, ...]) -> Any:  # noqa: ANN401  a class of py3langid
    """An identifier of its own: that of the package is shared by the whole process."""
    with needed_by("the operation language", "language"):
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    made = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if unknown := set(languages) - set(made.labels):
        raise UsageError(f"language: {', '.join(sorted(unknown))}: not known; expected codes such as en, de, zh, ja")
    made.set_languages(languages)
    return made


def _ask(texts: Sequence[str], name: str) -> list[tuple[str, float]]:
    model: LanguageModel = load_model(name, "language")
    found = [(str(code), float(share)) for code, share in model(texts)]
    if len(found) != len(texts):
        raise UsageError(f"language: {name} returned {len(found)} pairs for {len(texts)} texts; expected one for each")
    return found


def _fingerprint(options: Language) -> str:
    """Changes with the model."""
    if options.model is not None:
        return str(getattr(load_model(options.model, "language"), "fingerprint", ""))
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"py3langid {version('py3langid')}"
    except PackageNotFoundError:
        return "py3langid"


LANGUAGE: Final = MapOperation(version=1, options=Language, apply=find_language, fingerprint=_fingerprint)
