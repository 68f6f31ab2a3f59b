"""Tampered submissions, one a test: each is refused, with the reason."""

import itertools
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.checked_board import check
from leaderboard.submit import submit
from leaderboard.vectors import MAX_BYTES, as_stored, write_vectors
from rope.bench.io.embeddings import embeddings_sha256
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings
from rope.errors import RopeError
from rope.files import sha256_of
from tests.leaderboard.conftest import card, make_embeddings


@pytest.fixture
def alpha(results, tmp_path):
    """A copy of the folder of one sound submission."""
    return shutil.copytree(results / "alpha", tmp_path / "alpha")


def problems(folder, data, **options):
    return [text for verdict in check(folder, [data], **options).verdicts for text in verdict.problems]


def part(folder, suffix):
    return next(folder.glob(f"*{suffix}"))


def entry_of(folder):
    return next(path for path in folder.glob("*.json") if not path.name.endswith(".score.json"))


def edit(path, change):
    """Change the object in a file of JSON."""
    raw = json.loads(path.read_text("utf-8"))
    change(raw)
    path.write_text(json.dumps(raw), "utf-8")


def forge(folder):
    """Write the hashes of the files as they are now into the entry and the score, as a careful cheat would."""
    ranks = part(folder, ".score.ranks.parquet")
    edit(part(folder, ".score.json"), lambda raw: raw["ranks"].update(sha256=sha256_of(ranks)))

    def rehash(raw):
        for name in ("score", "ranks", "embeddings"):
            raw[name]["sha256"] = sha256_of(folder / raw[name]["file"])

    edit(entry_of(folder), rehash)


def set_r_at_1(value):
    def change(raw):
        raw["pairs"]["P2V"]["R@1"] = value

    return change


def test_what_submit_writes_is_sound(results, data):
    verdicts = check(results, [data]).verdicts
    assert [(verdict.is_rescored, verdict.problems) for verdict in verdicts] == [(True, ())] * 3


def test_an_edited_number_is_refused_by_its_hash(alpha, data):
    edit(part(alpha, ".score.json"), set_r_at_1(0.99))
    assert "not the score that" in problems(alpha, data)[0]


def test_an_edited_number_with_a_forged_hash_breaks_an_identity(alpha, data):
    edit(part(alpha, ".score.json"), set_r_at_1(1.0))
    forge(alpha)
    found = problems(alpha, data)
    assert any("P2V: MRR" in text and "is below R@1" in text for text in found)
    assert any("R@k falls from 1.0" in text for text in found)


@pytest.mark.parametrize("where", ["pair", "one_shot", "macro", "ci95", "by_chance"])
def test_an_edited_number_that_keeps_the_identities_differs_from_the_vectors(alpha, data, where):
    def change(raw):
        pair = raw["pairs"]["V2L"]
        if where == "pair":
            pair["mAP"] += 0.001
        elif where == "one_shot":
            raw["one_shot"]["V2L"]["expected"] += 1e-6
        elif where == "macro":
            pair["macro"]["mAP"] += 1e-6
        elif where == "by_chance":
            raw["by_chance"]["V2L"]["R@5"] -= 1e-6
        else:
            pair["ci95"]["R@5"][0] -= 1e-3

    edit(part(alpha, ".score.json"), change)
    forge(alpha)
    assert "V2L" in " ".join(problems(alpha, data))


def leaves(value, path=()):
    """The paths of all numbers and texts in a JSON value."""
    if not isinstance(value, dict | list):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [leaf for key, inner in items for leaf in leaves(inner, (*path, key))]


@pytest.mark.parametrize("wrong", [None, 0, 1, 1e300, "x", [], {}], ids=repr)
def test_whatever_one_number_becomes_the_row_is_refused_and_nothing_breaks(alpha, data, wrong):
    """Every seventieth value of a score, but those of `harness`, which depend on the machine."""
    path = part(alpha, ".score.json")
    sound = json.loads(path.read_text("utf-8"))
    for *parents, last in leaves({key: value for key, value in sound.items() if key != "harness"})[::70]:
        raw = json.loads(json.dumps(sound))
        target = raw
        for key in parents:
            target = target[key]
        is_changed = target[last] != wrong
        target[last] = wrong
        path.write_text(json.dumps(raw), "utf-8")
        edit(entry_of(alpha), lambda entry: entry["score"].update(sha256=sha256_of(path)))
        assert bool(problems(alpha, data)) == is_changed, (*parents, last)


def test_the_first_numbers_that_differ_are_told_and_the_others_counted(alpha, data):
    edit(part(alpha, ".score.json"), _every("one_shot", expected=0.99, expected_ci95=[0.98, 1.0]))
    forge(alpha)
    found = problems(alpha, data)
    assert len(found) == 4
    assert ["one_shot." in text for text in found] == [True, True, True, False]
    assert "and 9 more numbers differ" in found[3]  # two numbers of six pairs


def test_ranks_of_which_the_numbers_follow_but_that_are_not_of_the_vectors_are_refused(alpha, data):
    """Two queries of one product take each other's place: every mean and interval stays."""
    path = part(alpha, ".score.ranks.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    first, second = next(
        (a, b)
        for a, b in itertools.combinations(range(len(rows)), 2)
        if (rows[a]["pair"], rows[a]["product_id"]) == (rows[b]["pair"], rows[b]["product_id"])
        and rows[a]["rank"] != rows[b]["rank"]
    )
    ids = table["query_id"].to_pylist()
    ids[first], ids[second] = ids[second], ids[first]
    at = table.column_names.index("query_id")
    pq.write_table(table.set_column(at, "query_id", pa.array(ids)), path, compression="zstd")
    forge(alpha)
    (found,) = problems(alpha, data)
    assert "the ranks are not those of its vectors" in found


def test_without_the_dataset_vectors_are_still_those_of_the_score(alpha):
    def unscored():
        return [text for verdict in check(alpha, [], allow_unscored=True).verdicts for text in verdict.problems]

    assert unscored() == []
    rewrite(alpha, lambda rows: rows.sample_ids.reverse())
    assert [text.partition("the vectors of ")[2] for text in unscored()] == [
        f"{domain}s are not those that were scored (their hash differs)" for domain in ("page", "video", "live")
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_without_the_dataset_every_vector_still_has_a_direction(alpha, value):
    path = part(alpha, ".embeddings.parquet")
    stored = {domain: as_stored(one, "float16") for domain, one in read_embeddings([path]).items()}
    for one in stored.values():
        one.numbers[3] = value
    write_vectors(path, stored)
    hashes = {domain: embeddings_sha256(one) for domain, one in read_embeddings([path]).items()}
    score = part(alpha, ".score.json")
    edit(score, lambda raw: [raw["embeddings"][domain].update(sha256=text) for domain, text in hashes.items()])
    forge(alpha)
    (verdict,) = check(alpha, [], allow_unscored=True).verdicts
    assert len(verdict.problems) == 3
    assert all("hold NaN, infinity or a row of zeros" in text for text in verdict.problems)


def test_embeddings_of_another_model_are_refused(alpha, results, data):
    shutil.copy(part(results / "gamma", ".embeddings.parquet"), part(alpha, ".embeddings.parquet"))
    assert "not the file that the entry was written with" in problems(alpha, data)[0]
    forge(alpha)
    assert "not those that were scored" in problems(alpha, data)[0]


def rewrite(folder, change):
    """Write the vectors again after a change of ids and rows, and forge the hashes."""
    path = part(folder, ".embeddings.parquet")
    rows = read_embeddings([path])
    for one in rows.values():
        change(one)
    write_vectors(path, {domain: as_stored(one, "float16") for domain, one in rows.items()})
    forge(folder)


def test_reordered_ids_are_refused(alpha, data):
    rewrite(alpha, lambda rows: rows.sample_ids.reverse())
    assert "not those that were scored" in problems(alpha, data)[0]


def test_samples_of_the_training_split_are_refused(alpha, data):
    names = iter(("pa1", "va1", "la1"))

    def leak(rows):
        rows.sample_ids[0] = next(names)

    rewrite(alpha, leak)
    assert "1 pages are of the split train, 'pa1' the first" in problems(alpha, data)[0]


def test_duplicated_rows_are_refused(alpha, data):
    def repeat(rows):
        rows.sample_ids[1] = rows.sample_ids[0]
        rows.vectors[1] = rows.vectors[0]

    rewrite(alpha, repeat)
    assert "with more than one embedding" in problems(alpha, data)[0]


def test_more_rows_than_samples_are_refused(alpha, data):
    path = part(alpha, ".embeddings.parquet")
    rows = read_embeddings([path])
    rows.pop("live")
    write_vectors(path, {domain: as_stored(one, "float16") for domain, one in rows.items()})
    assert "240 rows, expected 360" in problems(alpha, data)[0]


def test_nan_is_refused(alpha, data):
    def poison(rows):
        rows.vectors[3, 2] = np.nan

    rewrite(alpha, poison)
    assert "NaN" in problems(alpha, data)[0]


def test_nan_in_the_json_is_refused(alpha, data):
    path = part(alpha, ".score.json")
    path.write_text(path.read_text("utf-8").replace('"headline"', '"headline": NaN, "x"'), "utf-8")
    assert "NaN is not a number in JSON" in problems(alpha, data)[0]


def test_another_version_of_the_protocol_is_refused(alpha, data):
    edit(part(alpha, ".score.json"), lambda raw: raw["protocol"].update(version="0.9"))
    forge(alpha)
    assert "protocol version is '0.9', expected '1.1'" in problems(alpha, data)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"name": "<script>alert(1)</script>"},
        {"name": "../escape"},
        {"paper": "javascript:alert(1)"},
        {"code": 'https://example.org/"onclick="x'},
        {"training_data": ["<img src=x onerror=alert(1)>"]},
        {"command": "first line\nsecond line"},
        {"licence": 5},
        {"extra": "field"},
    ],
    ids=str,
)
def test_a_path_or_script_in_a_card_is_refused(alpha, data, change):
    edit(entry_of(alpha), lambda raw: raw["card"].update(change))
    assert "not what card.schema.json describes" in problems(alpha, data)[0]


def test_a_file_that_is_too_large_is_refused_unread(alpha, data):
    with part(alpha, ".embeddings.parquet").open("wb") as file:
        file.truncate(5 << 30)  # a hole, which takes no space
    assert f"5,368,709,120 bytes, expected {MAX_BYTES:,} at most" in problems(alpha, data)[0]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_refused_under_any_name(alpha, data):
    (alpha / "weights.pkl").write_bytes(pickle.dumps(Bomb()))
    part(alpha, ".embeddings.parquet").write_bytes(pickle.dumps(Bomb()))
    found = problems(alpha, data)
    assert any("weights.pkl: belongs to no entry" in text for text in found)
    assert any("not Parquet as rope-bench writes it, and nothing else is read" in text for text in found)


def test_a_link_is_refused(alpha, data, tmp_path):
    path = part(alpha, ".embeddings.parquet")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert any("a link" in text for text in problems(alpha, data))


def test_an_entry_in_another_folder_is_refused(alpha, data):
    moved = alpha.rename(alpha.with_name("omega"))
    assert "the folder is 'omega', expected the card's id 'alpha'" in problems(moved, data)[0]


def test_a_claim_cannot_call_itself_recomputed(alpha, data):
    part(alpha, ".embeddings.parquet").unlink()
    edit(entry_of(alpha), lambda raw: raw.update(embeddings=None))
    assert "not what entry.schema.json describes" in problems(alpha, data)[0]


def test_a_claim_without_vectors_is_checked_and_not_rescored(data, models, tmp_path):
    submit([models["beta"]], card("beta"), data, tmp_path, with_embeddings=False)
    (verdict,) = check(tmp_path, [data]).verdicts
    assert (verdict.is_rescored, verdict.problems) == (False, ())


def _every(part, **numbers):
    """A change of these numbers in every pair."""
    return lambda raw: [values.update(numbers) for values in raw[part].values()]


def _draws(accuracies, **numbers):
    flat = {"std": 0.0, "std_bound": 0.0, "mean": accuracies[0], "ci95_draws": accuracies[:2]}
    return _every("one_shot", **{"accuracies": accuracies, **flat, **numbers})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda raw: raw["pairs"]["P2V"]["optimistic"].update({"R@1": 1.0}),
            "P2V.optimistic.R@1 is 1.0, but its ranks",
        ),
        (
            lambda raw: raw["pairs"]["P2V"]["macro"].update({"recall@50": 0.99}),
            "P2V.macro.recall@50 is 0.99, but its r",
        ),
        (lambda raw: raw["pairs"]["P2V"]["ci95"].update({"R@5": [0.0, 0.1]}), "P2V.ci95.R@5 is"),
        (_every("one_shot", expected=1.0), "P2V: the expected one-shot accuracy 1.0 is not in its interval"),
        (_every("one_shot", expected_ci95=[0.9, 0.1]), "is not in its interval"),
        (_every("one_shot", n_products=999), "999 products in the support set, of 120 samples"),
        (_every("one_shot", n_queries=60), "60 samples classified and 0 not"),
        (_every("one_shot", n_queries=60, n_no_support=60), "60 samples classified, but 120 have a product in both"),
        (_every("one_shot", std=0.0), "the standard deviation of the one-shot draws is 0.0, but they have"),
        (_every("one_shot", std=None), "the standard deviation of the one-shot draws is None, but they have"),
        (_every("one_shot", ci95_draws=[0.0, 1.0]), "the interval of the one-shot draws is"),
        (_draws([0.123] * 20), "a one-shot accuracy is not a share of 120 queries"),
        (_draws([0.5] * 20, std_bound=0.5), "the bound on it of the one-shot draws is 0.5, but they have 0.0"),
    ],
)
def test_no_number_of_a_claim_contradicts_its_ranks_or_draws(data, models, tmp_path, change, expected):
    submit([models["beta"]], card("beta"), data, tmp_path, with_embeddings=False)
    folder = tmp_path / "beta"
    edit(part(folder, ".score.json"), change)
    sha256 = sha256_of(part(folder, ".score.json"))
    edit(entry_of(folder), lambda raw: raw["score"].update(sha256=sha256))
    assert expected in " ".join(problems(tmp_path, data))


def test_vectors_without_their_dataset_are_not_called_sound(results):
    assert "no dataset of the fingerprint" in check(results, []).verdicts[0].problems[0]


def test_a_lost_row_is_named(results, data, tmp_path):
    fewer = shutil.copytree(results, tmp_path / "fewer")
    shutil.rmtree(fewer / "beta")
    (found,) = problems(fewer, data, base=results)
    assert "beta" in found
    assert "a row of the last release is lost" in found


def test_a_reported_row_with_falling_figures_is_refused(tmp_path):
    source = Path(__file__).parents[2] / "leaderboard" / "results" / "cope" / "reported.json"
    folder = tmp_path / "cope"
    folder.mkdir()
    shutil.copy(source, folder)
    assert check(tmp_path, []).verdicts[0].problems == ()
    edit(folder / "reported.json", lambda raw: raw["reported"]["P2V"].update({"R@5": 0.1}))
    assert "P2V: R@k falls from 0.8258 to 0.1" in check(tmp_path, []).verdicts[0].problems[0]


def test_embeddings_that_float16_would_change_are_refused(data, tmp_path):
    """Vectors that differ only beyond the third digit of a large common part."""
    path = make_embeddings(tmp_path / "offset.parquet", data, 0.1, 0)
    rows = read_embeddings([path])
    write_embeddings(path, {domain: (one.sample_ids, one.vectors + 1e4) for domain, one in rows.items()})
    with pytest.raises(RopeError, match="float16 changes"):
        submit([path], card("offset"), data, tmp_path / "out")
