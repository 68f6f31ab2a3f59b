import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline import accounting
from rope.curation.pipeline.accounting import audit, funnel, trace
from rope.curation.pipeline.runner import finished_stages, run_recipe
from rope.curation.pipeline.worker import _identified
from rope.errors import DatasetError
from rope.files import sha256_of
from tests.curation.pools import HALF, POISON, column, local, recipe_of, write_rows


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"))


def small_run(folder):
    stages = (POISON + 'raises = ["r01"]\nrejects = ["r02", "r03"]', HALF)
    recipe = recipe_of(folder, *stages, n_rows=9, shard_rows=5)
    run_recipe(recipe, local(), progress=False)
    return recipe


def test_every_row_of_a_run_is_accounted_for(recipe):
    found = audit(recipe)
    assert found.problems == ()
    assert (found.n_raw, found.fates) == (9, {"kept": 3, "not sampled": 3, "quarantined": 1, "rejected": 2})


def test_the_funnel_counts_by_domain_and_reason(recipe):
    counts = {count.stage: count for count in funnel(finished_stages(recipe))}
    assert {stage: count.rows_in for stage, count in counts.items()} == {"pool": 9, "poison": 9, "half": 6}
    assert counts["poison"].kept == {"live": 2, "page": 2, "video": 2}
    assert counts["poison"].others == {
        ("quarantined", "raised", "video"): 1,
        ("rejected", "unwanted", "live"): 1,
        ("rejected", "unwanted", "page"): 1,
    }


@pytest.mark.parametrize(
    ("row_id", "steps"),
    [
        ("r00", [("pool", "kept", None), ("poison", "kept", None), ("half", "kept", None)]),
        ("r01", [("pool", "kept", None), ("poison", "quarantined", "raised")]),
        ("r02", [("pool", "kept", None), ("poison", "rejected", "unwanted")]),
        ("r04", [("pool", "kept", None), ("poison", "kept", None), ("half", "not sampled", "not sampled")]),
    ],
)
def test_the_way_of_a_row_is_told_stage_by_stage(row_id, steps, recipe):
    assert [(step.stage, step.fate, step.reason) for step in trace(recipe, row_id)] == steps


def test_a_step_has_the_score_or_what_the_stage_has_added(recipe):
    rejected = trace(recipe, "r02")[1]
    assert (rejected.score, rejected.detail, rejected.domain) == (3.0, "as asked", "live")
    first, second = trace(recipe, "r00")[:2]
    assert first.values == {"text": "row r00", "category": "a", "product_hint": None, "session": None}
    assert second.values == {"length": 3}


def test_an_id_of_no_row_is_refused(recipe):
    with pytest.raises(DatasetError, match="no row has the id 'x'"):
        trace(recipe, "x")


def test_a_repeated_id_is_named(tmp_path):
    write_rows(tmp_path / "pool.parquet", ["a", "b", "a"])
    recipe = recipe_of(tmp_path, POISON)
    run_recipe(recipe, local(), progress=False)
    assert audit(recipe).problems == ("id 'a' is 2 times in the pool, and 2 times among the outcomes (kept)",)


KINDS = {
    "bool": pa.array([True, False, None]),
    "timestamp": pa.array([0, 1, None], pa.timestamp("us")),
    "binary": pa.array([b"a", b"\xff", None]),
    "string_view": pa.array(["a", "\t", " b "], pa.string_view()),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "float": pa.array([1.0, 2.5, None]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_any_type_are_accounted_for(kind, tmp_path):
    pool = pa.table({"id": KINDS[kind], "domain": ["page"] * 3, "frames": [["a.jpg"]] * 3})
    pq.write_table(pool, tmp_path / "pool.parquet")
    recipe = recipe_of(tmp_path, POISON)
    run_recipe(recipe, local(1), progress=False)
    found = audit(recipe)
    assert (found.problems, found.fates) == ((), {"kept": 2, "rejected": 1})


def test_a_raw_row_that_is_quarantined_has_the_id_that_it_would_have_had(tmp_path):
    rows = pa.RecordBatch.from_pydict({"key": [True, False], "kind": ["page", "live"]})
    job = SimpleNamespace(options={"columns": {"id": "key", "domain": "kind"}}, checked=False)
    assert _identified(rows, job).to_pydict() == {"id": ["True", "False"], "domain": ["page", "live"]}


def test_of_repeated_ids_one_goes_on_and_the_books_close(tmp_path):
    for folder, ids in (("a", ["a", "b", "a", "a"]), ("b", ["a", "a", "b", "a"])):
        texts = {"a": iter(("x", "y", "z") if folder == "a" else ("z", "x", "y"))}
        rows = [{"id": i, "domain": "page", "frames": [f"{i}.jpg"], "text": next(texts.get(i, iter("w")))} for i in ids]
        (tmp_path / folder).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / folder / "pool.parquet")
    recipes = [recipe_of(tmp_path / folder, 'use = "deduplicate"', POISON, shard_rows=3) for folder in "ab"]
    for recipe in recipes:
        run_recipe(recipe, local(1), progress=False)
        found = audit(recipe)
        assert (found.problems, found.fates) == ((), {"kept": 2, "rejected": 2})
    kept = [dict(zip(column(r, "poison", "id"), column(r, "poison", "text"), strict=True)) for r in recipes]
    assert kept[0] == kept[1]
    steps = [(step.stage, step.fate, step.reason) for step in trace(recipes[0], "a")]
    assert steps.count(("deduplicate", "rejected", "repeated_id")) == 2
    assert steps.count(("poison", "kept", None)) == 1


def test_rows_without_an_id_are_counted(tmp_path):
    rows = [{"id": i, "domain": "page", "frames": ["a.jpg"]} for i in ("a", None, " ", "?b")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    recipe = recipe_of(tmp_path, POISON)
    run_recipe(recipe, local(), progress=False)
    found = audit(recipe)
    assert (found.problems, found.fates) == ((), {"kept": 2, "rejected": 2})


def test_a_row_that_was_exchanged_for_another_is_found_though_all_counts_agree(tmp_path):
    """What no count and no hash can show: somebody rewrote a file and its manifest."""
    recipe = small_run(tmp_path)
    path = sorted((recipe.work / "stages" / "half").glob("*.kept.parquet"))[0]
    table = pq.read_table(path)
    ids = ["zz", *table["id"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, "id", pa.array(ids)), path)
    manifest_path = path.with_name(path.name.replace(".kept.parquet", ".json"))
    raw = json.loads(manifest_path.read_text())
    raw["parts"][0]["kept"] |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    manifest_path.write_text(json.dumps(raw))
    assert audit(recipe).problems == (
        "id 'r00' is 1 times in the pool, and 0 times among the outcomes (nothing)",
        "id 'zz' is 0 times in the pool, and 1 times among the outcomes (kept)",
    )


def test_altered_bytes_are_found(tmp_path):
    recipe = small_run(tmp_path)
    path = sorted((recipe.work / "stages" / "poison").glob("*.rejects.parquet"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + b"\0" + whole[51:])
    assert [problem.split(": ")[1] for problem in audit(recipe).problems] == [
        "its bytes are not those that were written; run again, which makes it again"
    ]


NAMES = ["id", "fate", "reason"]


@pytest.mark.parametrize("n_divisions", [1, 16])
def test_ids_are_compared_as_a_loop_would_however_they_are_divided(n_divisions, monkeypatch):
    monkeypatch.setattr(accounting, "n_files", lambda n: n_divisions)
    rows = [(f"i{i % 90:02d}", None, None) for i in range(100)] + [(None, None, None)] * 3
    rows += [(f"i{i:02d}", "kept", None) for i in range(2, 91)] + [(f"i{i:02d}", "rejected", "low") for i in (1, 50)]
    rows += [(f"i{i:02d}", "rejected", "repeated_id") for i in range(3, 10)]
    rows += [("?1", "rejected", "no_id")] * 2 + [("i20", "quarantined", "hung")]
    columns = [[pa.array(one, pa.string()) for one in zip(*part, strict=True)] for part in (rows[:103], rows[103:])]
    batches = [pa.RecordBatch.from_arrays(arrays, NAMES) for arrays in columns]
    fates, sentences = accounting._ends_compared(lambda: iter(batches), 103)
    assert fates == {None: 103, "kept": 89, "rejected": 11, "quarantined": 1}
    own = [(name, fate, reason) for name, fate, reason in rows if name is not None and reason != "no_id"]
    wrong = []
    for name in sorted({name for name, *_ in own}):
        found = [(fate, reason) for one, fate, reason in own if one == name and fate is not None]
        n_raw = sum(one == name and fate is None for one, fate, _ in own)
        if n_raw != len(found) or sum(reason != "repeated_id" for _, reason in found) != 1:
            ends = " and ".join(sorted({fate for fate, _ in found})) or "nothing"
            wrong.append(
                f"id {name!r} is {n_raw} times in the pool, and {len(found)} times among the outcomes ({ends})"
            )
    assert len(wrong) == 6
    n_without = "3 rows of the pool have no id, and 2 were rejected for it"
    assert sentences == [*wrong[:5], n_without, "and 1 more ids"]
