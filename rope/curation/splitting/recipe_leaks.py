"""The leak audit of what a recipe has split: what is audited, what the recipe accepts, and what the card says of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.dedup.measured_search import LARGEST_UNINDEXED
from rope.curation.pipeline.accounting import Stages, kept_files
from rope.curation.pipeline.recipe import CurationRecipe, LeakRules, stages_of
from rope.curation.splitting.leak_audit import (
    KINDS,
    LeakAudit,
    SplitSide,
    audit_leaks,
    exact_search,
    index_search,
    to_markdown,
)
from rope.curation.wide import read_vectors
from rope.files import atomic_path

__all__ = ["LEAKS_NAME", "audit_split", "card_with_leaks", "is_split", "leak_summary", "leaks_refused", "write_leaks"]

LEAKS_NAME: Final = "leaks.parquet"
"""In the folder of work: every leak that was not waived, in `rope.curation.splitting.leak_audit.LEAK_SCHEMA`."""

_COLUMNS: Final = ("id", "domain", "text", "session", "media_sha256", "split")
_HEADING: Final = "\n## Leaks between the splits\n"

_SECTION: Final = """{heading}
Pairs of a validation sample and a training sample of another product that are nearly the same, show the same file
(frame by frame), come from the same session or, for pages, have the same title except for case and spaces. The search
for near pairs was tested on canaries: copies of training vectors, turned by known angles.

{table}

Validation samples with a leak that was not waived: {found}. The recipe accepts {accepted}.
"""


def is_split(stages: Stages) -> bool:
    """Whether the rows of the last stage say on which side of a split they are."""
    files = kept_files(stages, list(stages)[-1])
    return bool(files) and "split" in pq.read_schema(files[0]).names


def audit_split(recipe: CurationRecipe, stages: Stages) -> LeakAudit:
    """Look for leaks among the rows that the last stage has kept; see `rope.curation.splitting.leak_audit.audit_leaks`.

    Near pairs are searched where rows have vectors and a threshold is known: that of the recipe's `[leaks]`, or else
    the `near` of its stage split; and so for the column of the vectors.

    Raises:
        DatasetError: some rows have an embedding and others none.
    """
    paths = kept_files(stages, list(stages)[-1])
    rules, split = recipe.leaks, _split_options(recipe)
    column = rules.column or split.get("column", "embedding")
    threshold = (rules.near or split.get("near")) if column in pq.read_schema(paths[0]).names else None
    rows = _read(paths)
    searched = None if threshold is None else column
    validation, train = (_side(paths, rows, name, searched) for name in ("validation", "train"))
    is_large = 2 * len(validation.ids) * len(train.ids) > LARGEST_UNINDEXED**2
    return audit_leaks(
        validation,
        train,
        threshold=threshold,
        seed=rules.seed,
        n_canaries=rules.canaries,
        waived=rules.waived,
        search=index_search if rules.search == "ivf" or (rules.search == "auto" and is_large) else exact_search,
    )


def leaks_refused(audit: LeakAudit, rules: LeakRules) -> list[str]:
    """A sentence for each kind of leak that more validation samples have than the recipe accepts.

    >>> from rope.curation.splitting.leak_audit import LEAK_SCHEMA
    >>> leak = {"kind": "title", "validation_domain": "page", "validation_id": "1", "train_domain": "page"}
    >>> leaks = pa.Table.from_pylist([leak | {"train_id": "2", "pairs": 1, "cosine": None}], LEAK_SCHEMA)
    >>> found = LeakAudit(leaks, leaks.slice(0, 0), (), None)
    >>> leaks_refused(found, LeakRules())
    ['title: 1 validation samples have a leak, such as page 1 with page 2 of train, and the recipe accepts 0']
    >>> leaks_refused(found, LeakRules(accepted={"title": 1}))
    []
    """
    sentences = []
    leaking = audit.leaking()
    for kind in KINDS:
        n, accepted = leaking[kind], rules.accepted.get(kind, 0)
        if n > accepted:
            first = audit.leaks.filter(pc.equal(audit.leaks["kind"], kind)).slice(0, 1).to_pylist()[0]
            pair = "{validation_domain} {validation_id} with {train_domain} {train_id} of train".format_map(first)
            sentences.append(
                f"{kind}: {n:,} validation samples have a leak, such as {pair}, and the recipe accepts {accepted:,}"
            )
    return sentences


def leak_summary(audit: LeakAudit, rules: LeakRules) -> dict[str, Any]:
    """The audit for the lineage: how it was made, what it found, and what was let pass."""
    return {
        "near": audit.threshold,
        "seed": rules.seed,
        "leaking_validation_samples": audit.leaking(),
        "accepted": dict(sorted(rules.accepted.items())),
        "waived": sorted(set(audit.waived["validation_id"].to_pylist())),
        "pairs": _pair_counts(audit),
        "search": [
            {
                "validation_domain": recall.validation_domain,
                "train_domain": recall.train_domain,
                "canaries": recall.canaries,
                "found": recall.found,
                "recall_at_least": round(recall.at_least, 4),
                "pairs_of_random_samples": recall.pairs,
                "pairs_found": recall.pairs_found,
            }
            for recall in audit.recalls
        ],
    }


def write_leaks(work: Path, audit: LeakAudit) -> Path:
    """Write the list of leaks that were not waived, and give its path."""
    path = work / LEAKS_NAME
    with atomic_path(path) as temporary:
        pq.write_table(audit.leaks, temporary)
    return path


def card_with_leaks(card: str, audit: LeakAudit, rules: LeakRules) -> str:
    """A dataset card with the section on leaks at its end, instead of an earlier one."""
    before, _, _ = card.partition(_HEADING)
    section = _SECTION.format(
        heading=_HEADING,
        table=to_markdown(audit),
        found=_numbers(audit.leaking()),
        accepted=_numbers({kind: n for kind, n in sorted(rules.accepted.items()) if n}) or "none",
    )
    return before + section


def _split_options(recipe: CurationRecipe) -> Mapping[str, Any]:
    """The options of the last stage split; none where the recipe has no such stage."""
    split = stages_of(recipe, "split")
    return split[-1].options if split else {}


def _read(paths: Sequence[Path]) -> pa.Table:
    tables = []
    for path in paths:
        there = pq.read_schema(path).names
        tables.append(pq.read_table(path, columns=[name for name in _COLUMNS if name in there]))
    return pa.concat_tables(tables)


def _side(paths: Sequence[Path], every: pa.Table, split: str, column: str | None) -> SplitSide:
    is_own = pc.equal(every["split"], split)
    rows = every.filter(is_own)
    is_page = pc.equal(rows["domain"], "page")
    shared = {"title": _one_each(pc.if_else(is_page, _plain(rows["text"]), None))}
    if "session" in rows.column_names:
        shared["session"] = _one_each(rows["session"])
    if "media_sha256" in rows.column_names:
        shared["media"] = rows["media_sha256"]
    vectors = None if column is None else read_vectors(paths, is_own.to_numpy(), "leak audit", column)
    return SplitSide(rows["id"].to_pylist(), rows["domain"].to_pylist(), vectors, shared)


def _plain(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    """Titles by which two are compared; null where nothing is left.

    >>> _plain(pa.chunked_array([["Blue  CUP ", " "]])).to_pylist()
    ['blue cup', None]
    """
    lower = pc.utf8_lower(pc.utf8_normalize(titles, "NFKC"))
    spaced = pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, r"\s+", " "))
    return pc.if_else(pc.equal(spaced, ""), None, spaced)


def _one_each(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as a list of one."""
    lists = [pa.ListArray.from_arrays(np.arange(len(part) + 1, dtype=np.int32), part) for part in values.chunks]
    return pa.chunked_array(lists, pa.list_(pa.string()))


def _pair_counts(audit: LeakAudit) -> list[dict[str, Any]]:
    """Pairs by kind and domains, in order."""
    keys = ["kind", "validation_domain", "train_domain"]
    totals = audit.leaks.group_by(keys).aggregate([("pairs", "sum")]).sort_by([(key, "ascending") for key in keys])
    return [{**{key: row[key] for key in keys}, "pairs": row["pairs_sum"]} for row in totals.to_pylist()]


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
