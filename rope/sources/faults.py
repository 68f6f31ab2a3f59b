"""What can be wrong with a release, and what is done about each.

A fault never stops the rest from going through, and nothing is guessed: where two rows contradict each other, neither
is believed. What is left out is counted and named by file and line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "FILES_TABLE",
    "MAX_ID_LENGTH",
    "RULES",
    "UNREADABLE",
    "FaultCount",
    "ReleaseFault",
    "Rule",
    "in_order_of_rules",
    "quoted_sql",
    "rule_of",
    "shortened",
]

MAX_ID_LENGTH: Final = 4096
"""Characters of an id or the name of a file; the longest known, sets of labels in Product1M, have some hundreds."""

FILES_TABLE: Final = "CREATE TABLE files (file VARCHAR, n_rows BIGINT, n_bad BIGINT, is_used BOOLEAN)"
"""See `rope.sources.source.Stage`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a kind of fault.

    Attributes:
        consequence: `left out` means that a row or sample is missing from the dataset; `kept` that the release is
            merely poorer than it might be.
        meaning: one clause.
    """

    consequence: Literal["left out", "kept"]
    meaning: str


RULES: Final[dict[str, Rule]] = {
    "bad_encoding": Rule("left out", "a line that is not UTF-8, or not of the encoding that was given"),
    "bad_row": Rule("left out", "a line with a field missing, an empty id, or one comma too many"),
    "quoted_id": Rule("left out", "an id or image name in quotation marks; fields have none around them"),
    "long_id": Rule("left out", f"an id or the name of a file of more than {MAX_ID_LENGTH:,} characters"),
    "unknown_split": Rule("left out", "a split that is neither train nor validation"),
    "unknown_domain": Rule("left out", "a domain that has no folder of media, such as pages for page"),
    "bad_number": Rule("left out", "a frame number or timestamp that is not an integer"),
    "bad_image_name": Rule("left out", "an image name that is absolute or points out of the image folder"),
    "repeated_row": Rule("left out", "a line that says what an earlier one said; the first is kept"),
    "product_conflict": Rule("left out", "a sample with two products; its label is not guessed"),
    "sample_conflict": Rule("left out", "a sample with two videos or two galleries; neither is believed"),
    "text_conflict": Rule("left out", "a sample with two texts; it is kept without a text"),
    "frame_conflict": Rule("left out", "two images for one frame of a sample, or for one page; neither is used"),
    "product_in_both_splits": Rule("left out", "a product of both splits; it stays in validation alone"),
    "sample_in_both_splits": Rule("left out", "a sample of both splits; it stays in validation alone"),
    "no_product": Rule("left out", "a sample with a text or an image but without a product"),
    "no_image": Rule("left out", "a sample with a product but without an image row"),
    "not_in_gallery": Rule("left out", "a right answer that is not in the gallery of the live stream"),
    "no_answer": Rule("left out", "a clip none of whose right answers is in the gallery of its live stream"),
    "ambiguous_media": Rule("left out", "a sample with several files where one is expected; none is chosen"),
    "shared_image": Rule("left out", "a photograph of several products, such as a table of sizes"),
    "unknown_image": Rule("left out", "a photograph that the list of images lacks"),
    "unknown_spin": Rule("left out", "a turntable sequence of which the list of sequences has no usable image"),
    "unreadable_image": Rule("left out", "an image file that is missing, or is not an image; the frame is left out"),
    "unreadable_audio": Rule("left out", "a sound file that is missing, or is none; the sample stays, without it"),
    "unreadable_video": Rule("left out", "a video file that is missing, or is not a video"),
    "too_large": Rule("left out", "a file, or the images of one sample, of 2 GiB or more, which no row can hold"),
    "no_readable_image": Rule("left out", "a sample none of whose image files can be read"),
    "no_text": Rule("kept", "a sample without a text row; its text is null"),
    "category_conflict": Rule("kept", "a product with two categories; its category is null"),
    "partial_answer": Rule("kept", "a clip that names some images of its product only; all of them count as right"),
    "other_form": Rule("kept", "something that is not as its authors describe it; it is read as missing"),
    "family_in_both_splits": Rule("kept", "related products that are in train and in test; all stay in validation"),
    "no_page": Rule("kept", "a product without a page"),
    "no_video": Rule("kept", "a product without a video"),
    "no_live": Rule("kept", "a product without a live clip"),
}
"""Kind of fault -> rule; see `rule_of`."""


def quoted_sql(column: str) -> str:
    """A condition of SQL: a column is in quotation marks, single, double or curly."""
    return " OR ".join(f"{column} LIKE '{pattern}'" for pattern in ('"%"', "''%''", "“%”"))


UNREADABLE: Final = (
    *("bad_encoding", "bad_row", "bad_number", "bad_image_name"),
    *("quoted_id", "long_id", "unknown_split", "unknown_domain"),
)
"""Kinds of rows that mean nothing by themselves, whatever the others say."""

_LACKING: Final = "no_"
"""What the kind of a product without a domain begins with."""


def rule_of(kind: str) -> Rule:
    """The rule of a kind: one of `RULES`, or that of `no_DOMAIN` for a domain that is none of ROPE's.

    >>> rule_of("no_review")
    Rule(consequence='kept', meaning='a product without a review')
    """
    return RULES.get(kind) or Rule("kept", f"a product without a {kind.removeprefix(_LACKING)}")


def in_order_of_rules(kinds: Iterable[str]) -> list[str]:
    """Kinds as a report lists them: the most serious first, those that `RULES` lacks last and by name.

    >>> in_order_of_rules(["no_session", "no_review", "no_page", "bad_row"])
    ['bad_row', 'no_page', 'no_review', 'no_session']
    """
    found = set(kinds)
    return [*(kind for kind in RULES if kind in found), *sorted(found - set(RULES))]


def shortened(text: str, n: int = 100) -> str:
    """At most `n` characters of a text; an ellipsis stands for the rest.

    >>> shortened("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= n else text[: n - 1] + "…"


@dataclass(frozen=True, slots=True)
class ReleaseFault:
    """A damaged or contradicting row of a release: its file, line, kind and subject.

    Attributes:
        file: name of the file in the release.
        line: its line, from 1; 0 where the fault is not in a line.
        kind: see `rule_of`.
        subject: the id or name that it is about; empty where there is none.
    """

    file: str
    line: int
    kind: str
    subject: str

    def __str__(self) -> str:
        place = f"{shortened(self.file)}:{self.line}" if self.line else shortened(self.file)
        return f"{place}: {shortened(self.subject)!r}: {rule_of(self.kind).meaning}"


@dataclass(frozen=True, slots=True)
class FaultCount:
    """How often a kind of fault occurs, and the first of them.

    Attributes:
        kind: see `rule_of`.
        count: rows or samples.
        rule: `left out` or `kept`.
        examples: the first, by file and line, as sentences.
    """

    kind: str
    count: int
    rule: str
    examples: tuple[str, ...]
