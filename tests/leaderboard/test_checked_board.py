"""The board as one object: rows that are sound alone and spoil it together; what verify passes, build builds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard.board import HEADLINE, load_boards
from leaderboard.checked_board import CheckedBoard, check
from leaderboard.differences import are_alike, differences
from leaderboard.entry import entry_paths
from leaderboard.known import known_datasets, unregistered
from leaderboard.site import build_site
from leaderboard.submit import submit
from rope.dataset.build import build_dataset
from rope.dataset.manifest import read_manifest
from rope.errors import RopeError, UsageError
from rope.files import sha256_of
from rope.synthetic.release import write_release
from tests.leaderboard.conftest import card, make_embeddings

PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "results"


@pytest.fixture(scope="module")
def base(results, data, models, tmp_path_factory):
    """The last release: two models."""
    folder = tmp_path_factory.mktemp("base")
    for name in ("alpha", "beta"):
        shutil.copytree(results / name, folder / name)
    return folder


@pytest.fixture
def new(base, tmp_path):
    """A copy of the last release, to change."""
    return shutil.copytree(base, tmp_path / "new")


@pytest.fixture(scope="module")
def claimed(data, models, tmp_path_factory):
    """The folder of a sound row without vectors."""
    folder = tmp_path_factory.mktemp("claimed")
    return submit([models["gamma"]], card("gamma"), data, folder, with_embeddings=False).parent


def problems(root, data, **options):
    return [text for verdict in check(root, [data], **options).refused for text in verdict.problems]


def edit(path, change):
    raw = json.loads(path.read_text("utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), "utf-8")


def sign(folder):
    """Write the hashes of the files as they are now, as a careful cheat would."""
    (entry,) = entry_paths(folder)
    raw = json.loads(entry.read_text("utf-8"))
    if raw["score"] is not None:
        ranks = folder / raw["ranks"]["file"]
        edit(
            folder / raw["score"]["file"], lambda score: score["ranks"].update(file=ranks.name, sha256=sha256_of(ranks))
        )
    for part in ("score", "ranks", "embeddings"):
        if raw[part] is not None:
            raw[part]["sha256"] = sha256_of(folder / raw[part]["file"])
    entry.write_text(json.dumps(raw), "utf-8")


def call(folder, identity, name):
    """Give a row another id and name."""
    moved = folder.rename(folder.with_name(identity))
    (entry,) = entry_paths(moved)
    edit(entry, lambda raw: raw["card"].update(id=identity, name=name))
    score = next(iter(moved.glob("*.score.json")))
    edit(score, lambda raw: raw.update(model=name))
    sign(moved)
    return moved


def edit_ranks(folder, column, change):
    (path,) = folder.glob("*.ranks.parquet")
    table = pq.read_table(path)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(change(table[column].to_pylist()))), path, compression="zstd")
    sign(folder)


# The last release


def test_a_row_of_the_last_release_with_other_vectors_is_named_and_refused(new, base, data):
    file = make_embeddings(new.parent / "random.parquet", data, 50.0, 9)
    submit([file], card("alpha"), data, new)
    checked = check(new, [data], base=base)
    assert [row.entry.card.id for row in checked.rows] == ["beta"]
    ((found,),) = (verdict.problems for verdict in checked.refused)
    assert "alpha" in found
    assert "has changed (entry, score, ranks, embeddings)" in found
    assert problems(new, data, base=base, allow_changed=["alpha"]) == []


def test_a_downgraded_row_is_named_with_both_states(new, base, data, models):
    shutil.rmtree(new / "alpha")
    submit([models["alpha"]], card("alpha"), data, new, with_embeddings=False)
    (found,) = problems(new, data, base=base)
    assert "status 'recomputed' -> 'claimed'" in found


def test_a_changed_card_is_named_with_the_field(new, base, data):
    (entry,) = entry_paths(new / "beta")
    edit(entry, lambda raw: raw["card"].update(code="https://example.org/other"))
    (found,) = problems(new, data, base=base)
    assert "card.code 'https://example.org/code' -> 'https://example.org/other'" in found
    alpha, beta = check(new, [data], base=base).verdicts
    assert (alpha.is_rescored, alpha.stage) == (True, "vectors")
    assert (beta.is_rescored, beta.stage) == (False, "last release")


def test_one_byte_of_whitespace_is_a_change(new, base, data):
    (entry,) = entry_paths(new / "beta")
    entry.write_text(entry.read_text("utf-8") + "\n", "utf-8")
    assert "has changed (entry)" in problems(new, data, base=base)[0]


def test_a_new_row_beside_those_of_the_last_release_is_no_change(results, base, data):
    assert problems(results, data, base=base) == []


def test_a_base_without_results_is_refused_as_it_would_let_every_change_pass(results, tmp_path):
    with pytest.raises(UsageError, match="holds no result of a last release"):
        check(results, [], base=tmp_path, allow_unscored=True)


def test_an_exception_for_a_model_that_is_not_there_is_a_wrong_command(new, base, data):
    with pytest.raises(UsageError, match="no row of that id"):
        check(new, [data], base=base, allow_changed=["gamma"])


def test_the_folder_of_one_model_is_compared_with_its_own_rows(new, base, data):
    assert problems(new / "alpha", data, base=base) == []
    edit(entry_paths(new / "alpha")[0], lambda raw: raw["card"].update(contact="x"))
    assert "alpha" in problems(new / "alpha", data, base=base)[0]


# Names and addresses


@pytest.mark.parametrize(("identity", "name"), [("other", "model ALPHA"), ("a1pha", "Other"), ("other", "Mode1-A1pha")])
def test_a_name_that_reads_like_that_of_another_row_is_refused(new, base, data, results, identity, name):
    call(shutil.copytree(results / "gamma", new / "gamma"), identity, name)
    (found,) = problems(new, data, base=base)
    assert f"{identity}/" in found
    assert "its name or id reads like that of" in found
    assert {(one.is_rescored, one.stage) for one in check(new, [data], base=base).refused} == {(False, "board")}


def test_without_a_last_release_nobody_can_tell_who_was_first(new, data, results):
    call(shutil.copytree(results / "gamma", new / "gamma"), "other", "model ALPHA")
    assert len(problems(new, data)) == 2


def test_rows_outside_of_the_folders_of_models_are_refused(new, data):
    for path in (new / "alpha").iterdir():
        shutil.copy(path, new)
    assert any("outside of the folder of a model" in text for text in problems(new, data))


def test_verdicts_are_by_path(new, data):
    (new / "beta" / "a.txt").touch()
    found = [verdict.path for verdict in check(new, [data]).verdicts]
    assert len(found) == 3
    assert found == sorted(found, key=str)


@pytest.mark.parametrize("folder", ["Alpha", "a\n::error::b", "\u202ealpha", "x" * 70])
def test_a_folder_of_another_name_is_refused_in_one_line(new, data, folder):
    shutil.copytree(new / "alpha", new / folder)
    found = problems(new, data)
    assert any("not the folder of a model" in text for text in found)
    assert all("\n" not in text for text in found)


# Datasets


def test_a_dataset_is_its_fingerprint_whatever_its_folder_was_called(base, data, models, tmp_path):
    other = tmp_path / "my-copy"
    shutil.copytree(data, other)
    edit(other / "rope.json", lambda raw: raw.update(name="my-copy"))
    submit([models["gamma"]], card("gamma"), other, shutil.copytree(base, tmp_path / "new"))
    checked = check(tmp_path / "new", [data])
    assert checked.refused == ()
    (board,) = load_boards(checked)
    assert (board.dataset, len(board.rows)) == (read_manifest(data).name, 3)


def test_an_unknown_dataset_is_refused_unless_its_directory_is_given(new):
    assert all("no dataset of the fingerprint" in v.problems[0] for v in check(new, []).verdicts)
    assert check(new, [], allow_unscored=True).refused == ()


@pytest.mark.parametrize("name", ["ROPE!", "rope ", "Mini Rope", "mini-rope-1c1c95a013bf", "index"])
def test_no_row_brings_a_dataset_or_an_address_of_its_own(new, data, name):
    source = json.loads((PUBLISHED / "cope" / "reported.json").read_text("utf-8"))
    source["dataset"]["name"] = name
    source["card"] |= {"id": "own", "name": "Own"}
    (new / "own").mkdir()
    (new / "own" / "reported.json").write_text(json.dumps(source), "utf-8")
    (found,) = problems(new, data)
    assert f"no dataset called {name!r} of this size is known" in found


def test_datasets_that_are_called_alike_have_their_fingerprints_in_their_names(data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    own = read_manifest(data)
    edit(other / "rope.json", lambda raw: raw.update(fingerprint="0" * 64))
    registered = len(known_datasets([]))
    names = [one.name for one in known_datasets([data, other])]
    assert names[registered:] == [f"{own.name} {own.fingerprint[:12]}", f"{own.name} 000000000000"]
    edit(other / "rope.json", lambda raw: raw.update(name="Mini Rope"))
    mini, *_, another = known_datasets([data, other])[1:]
    assert (mini.name, another.name, another.key) == ("mini-rope", "Mini Rope " + "0" * 12, "mini-rope-" + "0" * 12)


def test_what_the_registry_says_of_a_dataset_is_known_and_a_row_names_none():
    said = {one.name: (one.is_synthetic, one.may_show_pictures) for one in known_datasets([])}
    assert said == {"rope": (False, False), "mini-rope": (True, True), "grocery": (False, True)}
    one = unregistered("0123456789abcdef" * 4, {"page": 1})
    assert (one.name, one.key, one.is_registered) == (
        "dataset 0123456789ab", "unregistered-" + "0123456789abcdef" * 4, False
    )  # fmt: skip


def test_two_datasets_with_one_address_are_a_wrong_command(data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    edit(other / "rope.json", lambda raw: raw.update(fingerprint=raw["fingerprint"][:12] + "0" * 52))
    with pytest.raises(UsageError, match="would have one address on the board"):
        known_datasets([data, other])
    assert len(known_datasets([data, data])) == len(known_datasets([])) + 1


def test_a_dataset_of_the_size_of_rope_is_rope_whatever_its_folder_is_called(data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    counts = {"pages": 31388, "videos": 29810, "lives": 30981, "products": 2527}
    edit(other / "rope.json", lambda raw: raw.update(name="mine", counts={"validation": counts}))
    rope = known_datasets([other])[0]
    assert (rope.name, rope.fingerprint) == ("rope", read_manifest(other).fingerprint)


@pytest.mark.slow
def test_the_registered_synthetic_dataset_is_what_the_program_makes(tmp_path):
    write_release(tmp_path / "release", products=200, seed=0, mp4=False, progress=False)
    build_dataset(tmp_path / "release", tmp_path / "data", name="mini-rope", progress=False)
    (mini,) = (one for one in known_datasets([tmp_path / "data"]) if one.name == "mini-rope")
    assert mini.directory is not None
    assert len(known_datasets([tmp_path / "data"])) == len(known_datasets([]))


# Claims


def test_a_claimed_row_is_shown_without_rank_and_changes_none(new, claimed, data):
    before = {row.entry.card.id: row.cells for row in load_boards(check(new, [data]))[0].rows}
    shutil.copytree(claimed, new / "gamma")
    after = {row.entry.card.id: row.cells for row in load_boards(check(new, [data]))[0].rows}
    assert {cell.rank for cell in after.pop("gamma").values()} == {None}
    assert after == before


def shift_by_one(texts):
    return [*texts[1:], texts[0]]


@pytest.mark.parametrize(
    ("column", "change", "reason"),
    [
        ("rank", lambda values: [10**9 if v > 60 else v for v in values], "beyond the gallery|its ranks give"),
        ("product_id", lambda values: [f"x{v}" for v in values], "the products are not those of the dataset"),
        ("product_id", lambda values: [v.replace("b100", "b139x") for v in values], "are not those of the dataset"),
        ("query_id", lambda values: [f"x{v}" for v in values], "the queries are not those of the dataset"),
        ("n_positives", lambda values: [v + 1 for v in values], "its ranks give|numbers of positives|contradict"),
    ],
)
def test_claimed_ranks_are_compared_with_the_labels(new, claimed, data, column, change, reason):
    folder = shutil.copytree(claimed, new / "gamma")
    edit_ranks(folder, column, change)
    (found, *_) = problems(new, data)
    assert "gamma" in found
    assert any(part in found for part in reason.split("|"))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["dataset"].update(split="train"),
        lambda raw: raw["dataset"]["samples"].update(page=10**12),
        lambda raw: raw["dataset"]["samples"].update(page=121),
        lambda raw: raw["dataset"]["samples"].pop("live"),
        lambda raw: raw["dataset"].update(name="x\u202ey"),
    ],
)
def test_a_claim_of_another_task_is_refused(new, claimed, data, change):
    folder = shutil.copytree(claimed, new / "gamma")
    (entry,) = entry_paths(folder)
    (score,) = folder.glob("*.score.json")
    edit(entry, change)
    raw = json.loads(entry.read_text("utf-8"))
    edit(score, lambda told: told["dataset"].update(split=raw["dataset"]["split"]))
    sign(folder)
    assert all("gamma" in text for text in problems(new, data))
    assert problems(new, data)


def test_one_shot_accuracy_of_some_pairs_alone_is_refused(new, claimed, data):
    folder = shutil.copytree(claimed, new / "gamma")
    edit(next(folder.glob("*.score.json")), lambda raw: raw["one_shot"].pop("P2V"))
    sign(folder)
    assert "one-shot accuracy is of" in problems(new, data)[0]


# Verify and build


def test_only_check_makes_a_checked_board(new):
    with pytest.raises(TypeError, match="comes from"):
        CheckedBoard(new, (), (), None)


def test_a_refused_row_ends_a_build_with_its_name_or_is_left_out(new, claimed, data, tmp_path):
    folder = shutil.copytree(claimed, new / "gamma")
    edit_ranks(folder, "product_id", lambda values: [f"x{v}" for v in values])
    checked = check(new, [data])
    with pytest.raises(RopeError, match=r"1 rows or files are refused.*--leave-out(.|\n)*gamma"):
        build_site(checked, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    (board,) = build_site(checked, tmp_path / "site", leave_out=True)
    assert [row.entry.card.id for row in board.rows] == ["alpha", "beta"]


def test_a_fault_of_a_check_refuses_one_row_and_not_the_board(new, data, monkeypatch):
    def fail(entry, *_):
        raise ZeroDivisionError(entry.card.id)

    monkeypatch.setattr("leaderboard.verify._rescore", fail)
    found = problems(new, data)
    assert [("ZeroDivisionError: alpha" in text, "ZeroDivisionError: beta" in text) for text in found] == [
        (True, False),
        (False, True),
    ]


DATASET_NAMES = ["rope", "ROPE!", "mini-rope", "index", "mini-rope-1c1c95a013bf", "dataset"]
HOSTILE = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["claimed", "recomputed", "reported"]),
        "card": st.sampled_from(
            [("gamma", "Gamma"), ("zeta", "Model alpha"), ("beta.2", "Model-Beta"), ("con", "Con"), ("b", "B" * 80)]
        ),
        "dataset": st.sampled_from([None, *DATASET_NAMES]),
        "fingerprint": st.sampled_from([None, None, None, "same digits", "other"]),
        "split": st.sampled_from(["validation", "validation", "validation", "train"]),
        "samples": st.sampled_from([None, None, None, "two domains", "more", "too many"]),
        "ranks": st.sampled_from([None, None, None, "huge", "products", "queries", "fewer"]),
    }
)


def make_row(root, plan, claimed, results):
    """Write a row by a plan, with names and hashes that agree with each other."""
    identity, name = plan["card"]
    folder = shutil.copytree(claimed if plan["source"] == "claimed" else results / "gamma", root / "made")
    (entry,) = entry_paths(folder)
    raw = json.loads(entry.read_text("utf-8"))
    (score,) = folder.glob("*.score.json")
    told = json.loads(score.read_text("utf-8"))
    own = raw["dataset"]["fingerprint"]
    wanted = {"same digits": own[:12] + "0" * 52, "other": "f" * 64}.get(plan["fingerprint"], own)
    raw["card"] |= {"id": identity, "name": name}
    told["model"] = name
    for part in (raw["dataset"], told["dataset"]):
        part |= {"fingerprint": wanted, "split": plan["split"], "name": plan["dataset"] or part["name"]}
    if plan["samples"] == "two domains":
        raw["dataset"]["samples"].pop("live")
    elif plan["samples"] is not None:
        raw["dataset"]["samples"]["page"] = told["embeddings"]["page"]["n"] = (
            121 if plan["samples"] == "more" else 10**12
        )
    if plan["source"] == "reported":
        for path in folder.iterdir():
            path.unlink()
        raw |= dict.fromkeys(("score", "ranks", "embeddings", "rounding_change", "cut_from"))
        raw |= {"status": "reported", "source": {"title": "A", "where": "B"}, "reported": {"P2V": {"R@1": 0.9}}}
        raw["dataset"]["fingerprint"] = None
        (folder / "reported.json").write_text(json.dumps(raw), "utf-8")
        return folder.rename(root / identity)
    score.write_text(json.dumps(told), "utf-8")
    entry.unlink()
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace(own, wanted)))
    for part in ("score", "ranks", "embeddings"):
        if raw[part] is not None:
            raw[part]["file"] = raw[part]["file"].replace(own, wanted)
    (folder / f"{wanted}.json").write_text(json.dumps(raw), "utf-8")
    changes = {
        "huge": ("rank", lambda values: [10**9 if v > 50 else v for v in values]),
        "products": ("product_id", lambda values: [f"x{v}" for v in values]),
        "queries": ("query_id", shift_by_one),
        "fewer": ("pair", lambda values: ["P2V" for _ in values]),
    }
    if plan["ranks"] is not None:
        edit_ranks(folder, *changes[plan["ranks"]])
    sign(folder)
    return folder.rename(root / identity)


@pytest.fixture(scope="module")
def pages_before(base, data, tmp_path_factory):
    """The pages of the last release, and its cells."""
    site = tmp_path_factory.mktemp("before") / "site"
    (board,) = build_site(check(base, [data]), site)
    return pages(site, board), {row.entry.card.id: row.cells for row in board.rows}


def pages(site, board):
    return {path.stem: path.read_bytes() for path in (site / "models" / board.key).glob("*.html")}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=HOSTILE)
def test_what_verify_passes_build_builds_and_the_pages_of_others_stay(
    plan, base, claimed, results, data, pages_before, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("made")
    made = make_row(shutil.copytree(base, folder / "new"), plan, claimed, results)
    checked = check(folder / "new", [data], base=base)
    assert all(made.name in str(verdict.path) for verdict in checked.refused)
    boards = build_site(checked, folder / "site", leave_out=bool(checked.refused))
    (board,) = (one for one in boards if one.fingerprint == read_manifest(data).fingerprint)
    before, cells_before = pages_before
    after = pages(folder / "site", board)
    for row in board.rows:
        identity = row.entry.card.id
        if identity in before and row.cells == cells_before[identity]:
            assert after[identity] == before[identity]
        elif identity in before:  # only a rank may differ, and only through a row that was recomputed
            assert plan["source"] == "recomputed"
            assert not checked.refused
    assert {"alpha", "beta"} <= set(after)
    assert board.rows[0].cells[HEADLINE].rank in (1, None)
    assert (folder / "site" / "index.html").read_text("utf-8").count("Model alpha") >= 1
    shutil.rmtree(folder)


# Every number equal


def numbers_in(value, path=()):
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, inner in items for found in numbers_in(inner, (*path, key))]
    return [(path, value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_every_number_is_compared_exactly_but_for_the_last_digits_of_intervals_and_deviations(results):
    """The contract: one step of float64, or one, is a difference; 1e-9 is let pass where sums of float64 decide."""
    raw = json.loads(next((results / "alpha").glob("*.score.json")).read_text("utf-8"))
    told = {key: raw[key] for key in ("headline", "protocol", "embeddings", "pairs", "one_shot")}
    changed = json.loads(json.dumps(told))
    rounded = exact = 0
    for path, number in numbers_in(told)[::9]:
        *parents, last = path
        target = changed
        for key in parents:
            target = target[key]
        is_rounded = any(str(key).startswith(("ci95", "expected_ci95", "std")) for key in path)
        nearest = number + 1 if isinstance(number, int) else float(np.nextafter(number, 9))
        for value in (number + 5e-10 if is_rounded else nearest, number + 2e-9, number + 1e-3):
            target[last] = value
            assert bool(differences(told, changed, "score")) == (value != number + 5e-10), (path, value)
        target[last] = number
        rounded, exact = rounded + is_rounded, exact + (not is_rounded)
    assert min(rounded, exact) > 20


@pytest.mark.parametrize(("told", "found"), [([1, 2], [1]), (None, 0.0), ("1", 1), ({}, None), ([0.0], 0.0)])
def test_values_of_another_kind_differ(told, found):
    assert not are_alike(told, found, 1e9)
