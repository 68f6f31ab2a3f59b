"""What answers decide about rows: which leave their product, which are renamed, and which products are one or two.

Rows of one product hint are one product until somebody says otherwise. A row without a hint is its own product,
named by its id.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rope.curation.annotation.items import Question, pair_id, readings_of
from rope.curation.annotation.label_files import Label
from rope.errors import DatasetError

__all__ = ["APPLIED", "Decisions", "Row", "ids_in", "make_decisions", "split_pair"]

APPLIED: Final[tuple[Question, ...]] = ("same_product", "merge", "product_name")
"""The questions whose answers change rows; those of an audit never do, or it would not be one."""


@dataclass(frozen=True, slots=True)
class Row:
    """What matters of a row here: its domain, and its product hint, or its id where it has none."""

    domain: str
    product: str


@dataclass(frozen=True, slots=True)
class _Link:
    """A label about two products."""

    label: Label
    left: str
    right: str

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return (self.left, self.right), (self.right, self.left)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What becomes of rows and products; those that are not named stay as they are.

    Attributes:
        detached: row -> the name of the product of its own that it becomes.
        different: the same rows, with the label that says so.
        unclear: row that nobody can tell -> the label that says so.
        renamed: row -> the label with its new text.
        joined: product -> the name of the products that are one with it; of these, only those whose name changes.
        apart: product, after joining -> products that it is not.
        notes: row -> sentences that name the answers.
        product_notes: product, before joining -> sentences that name the answers.
    """

    detached: dict[str, str] = field(default_factory=dict)
    different: dict[str, Label] = field(default_factory=dict)
    unclear: dict[str, Label] = field(default_factory=dict)
    renamed: dict[str, Label] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    apart: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    product_notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def split_pair(item_id: str, known: Mapping[str, object]) -> tuple[str, str] | None:
    """The two rows of a pair `LEFT|RIGHT`, where both are known; ids may have a bar in them.

    Raises:
        DatasetError: the id was written by hand, and may mean several pairs of known rows.

    >>> split_pair("p|1|v2", {"p|1": 0, "v2": 0})
    ('p|1', 'v2')
    """
    found = [pair for pair in readings_of(item_id) if pair[0] in known and pair[1] in known]
    if len(found) > 1 and pair_id(*found[0]) != item_id:
        raise DatasetError(
            f"the label of {item_id} may mean {found[0][0]!r} and {found[0][1]!r}, or {found[1][0]!r} and "
            f"{found[1][1]!r}; write a backslash before each bar that is part of an id"
        )
    return found[0] if found else None


def ids_in(labels: Sequence[Label]) -> set[str]:
    """All ids of rows that labels may name; more than they do, where ids have a bar in them."""
    return {part for label in labels for pair in readings_of(label.item_id) for part in pair} | {
        label.item_id for label in labels
    }


def make_decisions(labels: Sequence[Label], rows: Mapping[str, Row]) -> Decisions:
    """What labels say of some rows; open ones, and those of rows that are gone, are ignored.

    1. A pair of one product that is `different` detaches a row: the one that is not a page, or else the second.
    2. Pairs of two products that are `same` make them one, and so do chains of such pairs.
    3. Pairs of two products that are `different` keep them apart; so is a detached row from the product it has left.

    Args:
        labels: of any questions.
        rows: by id, at least those that labels name.

    Raises:
        DatasetError: labels contradict each other; names them.

    >>> rows = {"p1": Row("page", "h"), "v1": Row("video", "h"), "v2": Row("video", "h")}
    >>> made = make_decisions([Label(item_id="p1|v1", label="different")], rows)
    >>> made.detached, dict(made.apart)
    ({'v1': 'h/v1'}, {'h': {'h/v1'}, 'h/v1': {'h'}})
    """
    made = Decisions()
    applied = [label for label in labels if label.question in APPLIED]
    pairs = [(label, pair) for label in applied if (pair := _pair(label, rows)) is not None]
    for label, pair in pairs:
        _detach(made, label, pair, rows)
    for label in applied:
        if label.question == "product_name" and label.label and label.item_id in rows:
            made.renamed[label.item_id] = label
            made.notes[label.item_id].append(f"renamed: {_in_words(label)}")
    links = [_Link(label, *(made.detached.get(row, rows[row].product) for row in pair)) for label, pair in pairs]
    must = [link for link in links if link.label.label == "same" and link.left != link.right]
    _join(made, must)
    _part(made, [link for link in links if link.label.label == "different"], must)
    return made


def _pair(label: Label, rows: Mapping[str, Row]) -> tuple[str, str] | None:
    if label.question == "product_name" or label.label is None:
        return None
    return split_pair(label.item_id, rows)


def _detach(made: Decisions, label: Label, pair: tuple[str, str], rows: Mapping[str, Row]) -> None:
    """Note the row that leaves its product, or of which nobody can tell whether it should."""
    left, right = (rows[row] for row in pair)
    leaving = pair[0] if right.domain == "page" != left.domain else pair[1]
    if left.product != right.product or leaving in made.different:
        return
    if label.label == "unclear":
        made.unclear[leaving] = label
    if label.label == "different":
        made.different[leaving] = label
        made.detached[leaving] = f"{left.product}/{leaving}"
        made.notes[leaving].append(f"detached from {left.product}: {_in_words(label)}")


def _join(made: Decisions, must: Sequence[_Link]) -> None:
    """Name the products that chains of labels make one after the smallest that was there before."""
    around = _around(must)
    new = set(made.detached.values())
    seen = set[str]()
    for start in sorted(around):
        if start in seen:
            continue
        members = sorted(_reached(around, start), key=lambda name: (name in new, name))
        seen.update(members)
        made.joined.update(dict.fromkeys(members[1:], members[0]))
    for link in must:
        for product, other in link.ends:
            made.product_notes[product].append(f"one with {other}: {_in_words(link.label)}")


def _part(made: Decisions, cannot: Sequence[_Link], must: Sequence[_Link]) -> None:
    """Keep products apart that are different."""
    own = {label.item_id for label in made.different.values()}
    for link in cannot:
        left, right = (made.joined.get(name, name) for name in (link.left, link.right))
        if left == right:
            raise DatasetError(_contradiction(link, must))
        made.apart[left].add(right)
        made.apart[right].add(left)
        for product, other in link.ends if link.label.item_id not in own else ():
            made.product_notes[product].append(f"not {other}: {_in_words(link.label)}")


def _around(links: Sequence[_Link]) -> dict[str, list[_Link]]:
    found: dict[str, list[_Link]] = defaultdict(list)
    for link in links:
        found[link.left].append(link)
        found[link.right].append(link)
    return found


def _reached(around: Mapping[str, Sequence[_Link]], start: str) -> dict[str, tuple[_Link, ...]]:
    """The products that chains lead to from one, each with the shortest chain."""
    reached: dict[str, tuple[_Link, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for link in around.get(here, ()):
            there = link.right if link.left == here else link.left
            if there not in reached:
                reached[there] = (*reached[here], link)
                waiting.append(there)
    return reached


def _contradiction(link: _Link, must: Sequence[_Link]) -> str:
    chain = _reached(_around(must), link.left).get(link.right, ())
    said = ", ".join(one.label.item_id for one in chain) or "they have one product hint"
    return (
        f"labels contradict each other: {link.label.item_id} is different, and what is labelled same makes the two one "
        f"({said}); ask again about one of these, or leave its label out"
    )


def _in_words(label: Label) -> str:
    """A label with those who gave it: `same_product p1|v1 is different (0.97; ann: different)`."""
    sure = "" if label.probability is None else f"{label.probability:.2f}"
    told = "; ".join(part for part in (sure, label.answers) if part)
    return f"{label.question} {label.item_id} is {label.label}" + (f" ({told})" if told else "")
