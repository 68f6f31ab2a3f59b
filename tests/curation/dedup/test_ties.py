"""The evidence beside the rows is that of a plain loop over all evidence."""

import numpy as np
import pyarrow as pa
import pytest

from rope.curation.dedup.evidence import KINDS
from rope.curation.dedup.stage import MergeRows, merge_inputs, merge_rows, plan_merge
from tests.curation.dedup.test_stage import write

OPTIONS = MergeRows(
    {"page-page": 0.97, "page-video": 0.96, "live-page": 0.985, "video-video": 0.99},
    copies=False,
    vetoes=["brand"],
    cap=4,
)


def case(seed):
    """Sixty rows of twenty products, which share pictures and directions."""
    rng = np.random.default_rng(seed)
    angles = np.radians(rng.integers(0, 90, 40))
    for i in range(60):
        media = int(rng.integers(40))
        yield (
            f"r{rng.integers(9)}-{i}",
            ("page", "video", "live")[rng.integers(3)],
            None if rng.random() < 0.2 else f"h{rng.integers(20)}",
            f"m{media}",
            (float(np.cos(angles[media])), float(np.sin(angles[media]))),
            (None, "x", "y")[rng.integers(3)],
        )


def by_a_loop(paths):
    """Row -> its ties, without their rules and details, in any order."""
    merge = plan_merge(paths, OPTIONS)
    rows, products, media = merge_inputs(paths, OPTIONS)
    shown = {}
    for row, *key in zip(rows["id"].to_pylist(), products, media, strict=True):
        shown[tuple(key)] = min(row, shown.get(tuple(key), row))
    found = {}
    items, evidence = merge.items, merge.evidence
    for at, verdict in enumerate(merge.verdict.tolist()):
        ends = []
        for product, node in ((evidence.left, evidence.left_node), (evidence.right, evidence.right_node)):
            name = str(items.product_ids[product[at]])
            ends.append((name, shown[name, str(items.media[node[at]])]))
        for (_, row), (other, other_row) in (ends, ends[::-1]):
            tie = (other, other_row, KINDS[evidence.kind[at]], float(evidence.strength[at]), verdict)
            found.setdefault(row, set()).add(tie)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_those_of_a_loop(seed, tmp_path):
    rows = list(case(seed))
    paths = [write(tmp_path / "0.parquet", rows[:25]), write(tmp_path / "1.parquet", rows[25:])]
    kept = [row for outcome in merge_rows(paths, OPTIONS) for row in outcome.kept.to_pylist()]
    names = ("product", "row", "kind", "score", "verdict")
    assert {
        row["id"]: {tuple(tie[n] for n in names) for tie in row["ties"]} for row in kept if row["ties"]
    } == by_a_loop(paths)
    for row in kept:
        scores = [tie["score"] for tie in row["ties"] or ()]
        assert scores == sorted(scores, reverse=True)
        for tie in row["ties"] or ():
            assert (tie["detail"] in ("x and y", "y and x")) == (tie["verdict"] == "veto: brand")
            if tie["kind"] == "embedding":
                cut = float(tie["rule"].split()[3])
                assert tie["score"] >= cut


def test_rows_without_evidence_have_none(tmp_path):
    rows = [("p1", "page", "a", "m1", (1.0, 0.0)), ("p2", "page", "b", "m2", (0.0, 1.0))]
    (outcome,) = merge_rows([write(tmp_path / "rows.parquet", rows)], OPTIONS)
    assert outcome.kept["ties"].to_pylist() == [None, None]
    assert pa.types.is_list(outcome.kept.schema.field("ties").type)
