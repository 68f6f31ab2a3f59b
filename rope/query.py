"""One search query: a question to a dataset that is none of its samples, and the samples that answer it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from rope.domain import DomainName, Frame, Sample

__all__ = [
    "MAX_GRADE",
    "QUERY_DOMAIN",
    "QUERY_KINDS",
    "Positive",
    "QueryKind",
    "SampleKey",
    "SearchQuery",
    "as_json_line",
    "as_sample",
]

QUERY_DOMAIN: Final[DomainName] = "query"
"""What embedders and files of vectors have in place of a domain for search queries; no dataset has a domain of it."""

QueryKind = Literal["text", "image", "images", "composed"]
QUERY_KINDS: Final[tuple[QueryKind, ...]] = get_args(QueryKind)
"""What a query consists of: a text; one image; several images; or a text with images."""

MAX_GRADE: Final = 100
"""The highest grade of a positive."""

SampleKey: TypeAlias = tuple[DomainName, str]
"""A sample of a dataset: its domain and its id in that domain."""


class Positive(NamedTuple):
    """A sample that answers a query.

    Attributes:
        domain: of the sample.
        sample_id: its id in that domain.
        grade: how good an answer it is: a whole number from 1 to `MAX_GRADE`.
    """

    domain: DomainName
    sample_id: str
    grade: int = 1

    @property
    def key(self) -> SampleKey:
        """The sample."""
        return self.domain, self.sample_id


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A question and its answers.

    Attributes:
        query_id: unique in the table.
        text: None for a query of images alone.
        images: none for a query of text alone.
        positives: the samples that answer it, each once.
        negatives: hard negatives: samples that are easily taken for an answer and are none. They are in the gallery
            as all other samples are; how often one comes before every positive is counted besides.
        excluded: samples that are not in the gallery of this query, such as the one that its image is from.
        gallery: search only the samples whose column `gallery` has this value; None for all.
        candidates: search only these samples; empty for all.
        group: queries of one group are paraphrases of each other; None for a query without any.
    """

    query_id: str
    text: str | None
    images: tuple[Frame, ...]
    positives: tuple[Positive, ...]
    negatives: tuple[SampleKey, ...] = ()
    excluded: tuple[SampleKey, ...] = ()
    gallery: str | None = None
    candidates: tuple[SampleKey, ...] = ()
    group: str | None = None

    @property
    def kind(self) -> QueryKind:
        """What it consists of."""
        if not self.images:
            return "text"
        if self.text is not None:
            return "composed"
        return "image" if len(self.images) == 1 else "images"

    @property
    def has_own_gallery(self) -> bool:
        """Whether it is searched among a part of the samples."""
        return self.gallery is not None or bool(self.candidates)

    def problems(self) -> Iterator[str]:
        """What is wrong with the query itself, each as the end of a sentence that begins with the query."""
        if self.text is None and not self.images:
            yield "has neither a text nor an image, so there is nothing to search for"
        for name, value in (("text", self.text), ("gallery", self.gallery), ("group", self.group)):
            if value is not None and not value.strip():
                yield f"has a blank {name}; leave it out (null) where there is none"
        if not self.positives:
            yield "has no positives; name at least one sample that answers it, or leave the query out"
        for positive in self.positives:
            if not 1 <= positive.grade <= MAX_GRADE:
                yield (
                    f"grades {_named(positive.key)} with {positive.grade}, expected a whole number from 1 to "
                    f"{MAX_GRADE}; leave a sample that is not an answer out of the positives"
                )
        answers = [positive.key for positive in self.positives]
        for what, keys in (("positives", answers), ("negatives", self.negatives), ("candidates", self.candidates)):
            if repeated := _repeated(keys):
                yield f"lists {_named(repeated)} twice among its {what}"
        for what, keys in (("negatives", self.negatives), ("excluded", self.excluded)):
            if both := [key for key in keys if key in answers]:
                yield f"lists {_named(both[0])} both as a positive and among its {what}"
        if self.gallery is not None and self.candidates:
            yield "has both a gallery and candidates; give one of them"
        elif self.candidates and (outside := [key for key in answers if key not in set(self.candidates)]):
            yield f"has the positive {_named(outside[0])}, which is not among its candidates"


def as_sample(query: SearchQuery) -> Sample:
    """The query as embedders receive it: of the domain `query`, its images as frames."""
    return Sample(query.query_id, QUERY_DOMAIN, query.text, query.images)


def as_json_line(query: SearchQuery) -> str:
    """The query as a table in lines of JSON has it; its images are paths, and what it lacks is left out.

    >>> as_json_line(SearchQuery("q", "cup", (), (Positive("page", "1"),)))
    '{"query_id": "q", "text": "cup", "positives": [{"domain": "page", "sample_id": "1", "grade": 1}]}'
    """

    def listed(keys: Sequence[SampleKey]) -> list[dict[str, str]]:
        return [{"domain": domain, "sample_id": sample_id} for domain, sample_id in keys]

    told = {
        "query_id": query.query_id,
        "text": query.text,
        "images": [image.path for image in query.images],
        "positives": [positive._asdict() for positive in query.positives],
        "negatives": listed(query.negatives),
        "excluded": listed(query.excluded),
        "gallery": query.gallery,
        "candidates": listed(query.candidates),
        "group": query.group,
    }
    return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False)


def _repeated(keys: Sequence[SampleKey]) -> SampleKey | None:
    seen: set[SampleKey] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None


def _named(key: SampleKey) -> str:
    return f"{key[0]} {key[1]!r}"
