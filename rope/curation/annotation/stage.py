"""Apply what people answered to the rows: see `rope.curation.annotation.decisions` for what an answer decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.annotation.decisions import APPLIED, Decisions, Row, ids_in, make_decisions
from rope.curation.annotation.label_files import Label, read_labels
from rope.curation.pipeline.operation import GlobalOperation, Outcome, Reject, divide, one_batch
from rope.errors import UsageError
from rope.files import sha256_of

__all__ = ["ANSWERS", "ApplyAnswers", "apply_answers"]


@dataclass(frozen=True, slots=True)
class ApplyAnswers:
    """Options of the operation `answers`.

    Attributes:
        labels: what `rope curate annotate labels --out` writes, or a CSV with `item_id` and `label`.
        different: the treatment of a row that is not the product of its hint: it becomes its own product, or is
            rejected unless somebody has said what else it is.
        unclear: the treatment of a row that nobody can judge.
    """

    labels: Path
    different: Literal["detach", "reject"] = "detach"
    unclear: Literal["keep", "reject"] = "keep"


def apply_answers(paths: Sequence[Path], options: ApplyAnswers) -> Iterator[Outcome]:
    """Change `product_hint` and `text` as the labels say, and add `answer` and `apart`.

    `answer` names what was said and by whom, and `apart` the products that the row's product is not, for the stage
    `merge`. Both are null where nothing was said. Held in memory are the rows that labels name, not the others.

    Rejects `not_the_product` and `unclear`, with the label's probability as score and the answers as detail.

    Raises:
        UsageError: there are no labels, or the rows have been merged already.
        DatasetError: labels contradict each other.
    """
    if "product_id" in pq.read_schema(paths[0]).names:
        raise UsageError("answers: the rows have product ids already; put this stage before merge")
    labels = [label for label in read_labels(Path(options.labels)) if label.question in APPLIED]
    made = make_decisions(labels, _named_rows(paths, ids_in(labels)))
    rejected = _rejected(made, options)
    for path in paths:
        rows = one_batch(pq.read_table(path))
        yield divide(_applied(rows, made), [rejected.get(row_id) for row_id in rows["id"].to_pylist()])


def _named_rows(paths: Sequence[Path], ids: set[str]) -> dict[str, Row]:
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, Row] = {}
    for path in paths:
        rows = pq.read_table(path, columns=["id", "domain", "product_hint"])
        for row in rows.filter(pc.is_in(rows["id"], wanted)).to_pylist():
            found[row["id"]] = Row(row["domain"], row["product_hint"] or row["id"])
    return found


def _rejected(made: Decisions, options: ApplyAnswers) -> dict[str, Reject]:
    found: dict[str, Reject] = {}
    if options.unclear == "reject":
        found |= {row: _reject("unclear", made, row, label) for row, label in made.unclear.items()}
    if options.different == "reject":
        placed = {*made.joined, *made.joined.values()}
        found |= {
            row: _reject("not_the_product", made, row, label)
            for row, label in made.different.items()
            if made.detached[row] not in placed
        }
    return found


def _reject(reason: str, made: Decisions, row: str, label: Label) -> Reject:
    return Reject(reason, label.probability, "; ".join(made.notes.get(row, [])) or f"{label.item_id}: {label.answers}")


def _applied(rows: pa.RecordBatch, made: Decisions) -> pa.RecordBatch:
    """The rows with what was decided, rejected ones included."""
    before = pc.coalesce(rows["product_hint"], rows["id"])
    moved = _looked_up(rows["id"], made.detached)
    product = pc.coalesce(moved, before)
    joined = _looked_up(product, made.joined)
    own = _looked_up(rows["id"], {row: "; ".join(said) for row, said in made.notes.items()})
    shared = _looked_up(product, {name: "; ".join(dict.fromkeys(said)) for name, said in made.product_notes.items()})
    apart = {name: sorted(others) for name, others in made.apart.items()}
    columns = {
        "product_hint": pc.coalesce(joined, moved, rows["product_hint"]),
        "text": pc.coalesce(
            _looked_up(rows["id"], {row: one.label for row, one in made.renamed.items()}), rows["text"]
        ),
        "answer": pc.coalesce(pc.binary_join_element_wise(own, shared, "; "), own, shared),
        "apart": pa.array(
            [apart.get(name) for name in pc.coalesce(joined, product).to_pylist()], pa.list_(pa.string())
        ),
    }
    table = pa.table({name: columns.pop(name, rows[name]) for name in rows.schema.names} | columns)
    return one_batch(table)


def _looked_up(keys: pa.Array, values: Mapping[str, str | None]) -> pa.Array:
    """The value of each key, null where it has none."""
    places = pc.index_in(keys, pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(places)


def _fingerprint(options: ApplyAnswers) -> str:
    path = Path(options.labels)
    return sha256_of(path) if path.is_file() else ""


ANSWERS: Final = GlobalOperation(version=1, options=ApplyAnswers, apply=apply_answers, fingerprint=_fingerprint)
