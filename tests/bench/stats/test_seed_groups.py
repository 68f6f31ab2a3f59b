"""`rope-bench compare --group`: from files to groups of training runs."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from rope.bench.cli import main
from rope.bench.io.embeddings import embeddings_sha256
from rope.bench.io.provenance import EmbeddingsNote, Provenance
from rope.bench.one_shot import Draws
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.report import as_json, write_json, write_ranks
from rope.bench.score import score
from rope.bench.stats.intervals import intervals_of
from rope.bench.stats.query_ranks import load_ranks, ranks_of
from rope.bench.stats.seed_groups import check_comparable, read_groups
from rope.errors import UsageError
from tests.bench.test_score import random_case


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with the results of tiny-0 to tiny-2 and large-0 to large-1, named tiny and large, and of floor."""
    folder = tmp_path_factory.mktemp("results")
    embeddings, labels = random_case(3)
    for model, seed in [("tiny", 0), ("tiny", 1), ("tiny", 2), ("large", 0), ("large", 1), ("floor", None)]:
        rng = np.random.default_rng([*model.encode(), seed or 0])
        noisy = {
            domain: replace(rows, vectors=rows.vectors + rng.normal(size=rows.vectors.shape).astype(np.float32))
            for domain, rows in embeddings.items()
        }
        notes = {domain: EmbeddingsNote(9, 4, "float64", 0, embeddings_sha256(rows)) for domain, rows in noisy.items()}
        provenance = Provenance(model, "mini", "0" * 64, "validation", notes, seed)
        result = score(noisy, labels, Draws(seed=0, trials=2), ComputeSettings(threads=1))
        path = folder / (f"{model}.json" if seed is None else f"{model}-{seed}.json")
        write_ranks(path.with_suffix(".ranks.parquet"), result)
        intervals = intervals_of(ranks_of(result, provenance))
        write_json(path, as_json(result, provenance, intervals, path.with_suffix(".ranks.parquet")))
    return folder


def shape(groups):
    return {group.name: [run.file.rpartition("/")[2] for run in group.runs] for group in groups}


TINY = ["tiny-0.json", "tiny-1.json", "tiny-2.json"]
LARGE = ["large-0.json", "large-1.json"]


@pytest.mark.parametrize(
    ("singles", "groups", "expected"),
    [
        (["floor.json"], ["tiny=tiny-*.json"], {"tiny": TINY, "floor": ["floor.json"]}),
        ([], ["a=tiny-2.json,tiny-0.json", "b=large-*.json"], {"a": [TINY[0], TINY[2]], "b": LARGE}),
        ([], ["a=tiny-0.json", "a=tiny-1.json"], {"a": TINY[:2]}),
        ([*TINY, *LARGE, "floor.json"], ["t*", "large"], {"t*": TINY, "large": LARGE, "floor": ["floor.json"]}),
        (["floor.json", *TINY], ["tiny=tiny-*.json"], {"tiny": TINY, "floor": ["floor.json"]}),
    ],
)
def test_groups_are_files_patterns_of_files_or_patterns_of_names(results, monkeypatch, singles, groups, expected):
    monkeypatch.chdir(results)
    assert shape(read_groups([results / name for name in singles], groups)) == expected


@pytest.mark.parametrize(
    ("singles", "groups", "message"),
    [
        ([], ["=tiny-0.json"], "expected NAME=FILE,FILE"),
        ([], ["tiny="], "expected NAME=FILE,FILE"),
        ([], ["tiny=gone-*.json"], r"gone-\*.json is not a file, and no file matches it"),
        ([], ["tiny=tiny-*.json,tiny-0.json"], "--group tiny: tiny-0.json is given twice"),
        ([], ["a=tiny-0.json", "b=tiny-*.json"], "^--group: tiny-0.json is given twice; a run counts once"),
        (["tiny-0.json", "tiny-0.json"], [], "is given twice"),
        (["tiny-0.json"], ["huge*"], r"'huge\*': matches no model among the results, which are tiny"),
        (["tiny-0.json"], ["tiny", "t*"], r"'t\*': matches no model"),
        (["large-0.json"], ["large", "large=large-1.json"], "the name of another group too"),
    ],
)
def test_groups_that_mean_nothing_or_two_things_are_refused(results, monkeypatch, singles, groups, message):
    monkeypatch.chdir(results)
    with pytest.raises(UsageError, match=message):
        read_groups([results / name for name in singles], groups)


def copied(result, path, **changes):
    """A result under another name, beside its ranks."""
    raw = json.loads(result.read_text("utf-8"))
    path.write_text(json.dumps(raw | changes), "utf-8")
    (path.parent / raw["ranks"]["file"]).write_bytes(result.with_suffix(".ranks.parquet").read_bytes())
    return path


def test_the_runs_of_a_group_are_ordered_by_seed(results, tmp_path):
    for name, seed in [("a", 2), ("b", 0), ("c", 1)]:
        copied(results / f"tiny-{seed}.json", tmp_path / f"{name}.json")
    assert shape(read_groups([], [f"tiny={tmp_path}/*.json"])) == {"tiny": ["b.json", "c.json", "a.json"]}


def test_two_models_may_be_of_the_same_vectors_unless_one_has_several_runs(results, tmp_path):
    again = copied(results / "tiny-0.json", tmp_path / "again.json", model="again")
    check_comparable(read_groups([results / "tiny-0.json", again], []))
    with pytest.raises(UsageError, match="share a run"):
        check_comparable(read_groups([again], [f"tiny={results}/tiny-*.json"]))


def test_a_result_keeps_the_seed_and_the_hashes(results):
    origin = load_ranks(results / "tiny-2.json").origin
    raw = json.loads((results / "tiny-2.json").read_text("utf-8"))
    assert origin.training_seed == raw["training_seed"] == 2
    assert origin.embeddings == {domain: note["sha256"] for domain, note in raw["embeddings"].items()}
    assert load_ranks(results / "floor.json").origin.training_seed is None


def test_a_seed_that_is_no_whole_number_is_refused(results, tmp_path):
    raw = json.loads((results / "tiny-0.json").read_text("utf-8"))
    (tmp_path / "tiny-0.ranks.parquet").write_bytes((results / "tiny-0.ranks.parquet").read_bytes())
    for seed in (True, -1, "0"):
        (tmp_path / "tiny-0.json").write_text(json.dumps(raw | {"training_seed": seed}), "utf-8")
        with pytest.raises(UsageError, match=r"training_seed is .*, expected a whole number"):
            load_ranks(tmp_path / "tiny-0.json")


def test_the_command_compares_groups_beside_single_results(results, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(results)
    words = ["compare", "floor.json", "--group", "tiny=tiny-*.json", "--group", "large=large-0.json,large-1.json"]
    monkeypatch.setattr(sys, "argv", ["rope-bench", *words, "--json", str(tmp_path / "c.json"), "--format", "markdown"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code or 0, err) == (0, "")
    assert "| 3 seeds (" in out
    assert "| one seed: over products alone |" in out
    written = json.loads((tmp_path / "c.json").read_text("utf-8"))
    runs = {row["model"]: [(run["file"], run["training_seed"]) for run in row["runs"]] for row in written["standings"]}
    assert runs["tiny"] == [(f"tiny-{seed}.json", seed) for seed in range(3)]
    assert runs["floor"] == [("floor.json", None)]


def test_two_runs_of_one_name_are_refused_with_the_way_out(results, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rope-bench", "compare", *(str(results / name) for name in TINY)])
    with pytest.raises(SystemExit) as ended:
        main()
    err = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2
    assert "two models are called 'tiny'" in err
    assert "--group 'tiny'" in err
