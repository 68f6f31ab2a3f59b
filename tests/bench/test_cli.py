import json
import re
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from baselines.handcrafted import Handcrafted
from rope.bench.io.readers import read_embeddings
from rope.bench.io.writer import write_embeddings


def test_shares_are_embedded_one_by_one_and_the_call_without_one_scores(rope_bench, dataset, embeddings, tmp_path):
    out_file = tmp_path / "e.parquet"
    run = ["run", "--model", "baselines:handcrafted", "--data", dataset, "--out", out_file]
    for share in ("0/2", "1/2"):
        code, out, err = rope_bench(*run, "--share", share)
        assert (code, out_file.exists()) == (0, False)
        assert re.match(r"handcrafted: 0 vectors kept, \d+ embedded; ", err)
        assert f"share {share} is embedded" in out
    code, out, err = rope_bench(*run)
    assert code == 0
    assert re.match(r"handcrafted: \d+ vectors kept, 0 embedded; embedded again .* 1 - cosine is at most 0e\+00\n", err)
    assert "mean R@1 of the six cross-domain pairs" in out
    assert out_file.read_bytes() == embeddings.read_bytes()


def test_run_keeps_the_vectors_and_score_gives_the_same_numbers(rope_bench, dataset, tmp_path):
    kept, ranks = tmp_path / "kept.parquet", tmp_path / "ranks.parquet"
    run = ["run", "--model", "baselines:handcrafted", "--data", dataset, "--out", kept, "--json", tmp_path / "a.json"]
    assert rope_bench(*run)[0] == 0
    score = ["score", kept, "--data", dataset, "--name", "handcrafted", "--json", tmp_path / "b.json"]
    code, out, _ = rope_bench(*score, "--save-ranks", ranks)
    assert code == 0
    assert "mean R@1 of the six cross-domain pairs" in out
    result, of_run = (json.loads((tmp_path / name).read_text("utf-8")) for name in ("b.json", "a.json"))
    assert result["training_seed"] is None
    assert result.pop("ranks")["sha256"] == of_run.pop("ranks")["sha256"]
    assert result == of_run
    assert (result["model"], result["pairs"]["P2V"]["n_queries"]) == ("handcrafted", 12)
    assert len(pq.read_table(ranks)) == sum(pair["n_queries"] for pair in result["pairs"].values())


def test_the_seed_of_training_is_that_of_the_model_or_of_the_option(rope_bench, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Handcrafted, "training_seed", 5, raising=False)
    run = ["run", "--model", "baselines:handcrafted", "--data", dataset, "--out", tmp_path / "kept.parquet"]
    for words, seed in (([], 5), (["--training-seed", 7], 7)):
        assert rope_bench(*run, *words, "--json", tmp_path / "a.json")[0] == 0
        assert json.loads((tmp_path / "a.json").read_text("utf-8"))["training_seed"] == seed


def test_a_quick_score_prints_the_numbers_of_the_full_one(rope_bench, dataset, embeddings):
    full, quick = (
        rope_bench("score", embeddings, "--data", dataset, *words)[1].splitlines() for words in ([], ["--quick"])
    )
    cells = [next(re.findall(r"[\w.@]+", line) for line in lines if "P2V" in line) for lines in (full, quick)]
    assert cells[1][:7] == cells[0][:7]  # the pair, five R@k, MRR
    assert not any("mAP" in line or "one-shot" in line.lower() for line in quick)


def test_json_on_stdout_is_alone_there(rope_bench, dataset, embeddings, tmp_path):
    result = tmp_path / "r.json"
    assert rope_bench("score", embeddings, "--data", dataset, "--json", result)[0] == 0
    commands = {
        "score": [embeddings, "--data", dataset],
        "slices": [result, "--data", dataset],
        "tail": [result, "--data", dataset],
    }
    for name, words in commands.items():
        file = tmp_path / f"{name}.json"
        code, out, err = rope_bench(name, *words, "--json", "-")
        assert (code, "R@1" in err) == (0, True)
        assert rope_bench(name, *words, "--json", file)[0] == 0
        assert json.loads(out) == json.loads(file.read_text("utf-8")) | ({"ranks": None} if name == "score" else {})
    code, out, _ = rope_bench("score", embeddings, "--data", dataset, "--json", "-", "--save-ranks", tmp_path / "k.pq")
    assert json.loads(out)["ranks"] == json.loads(result.read_text("utf-8"))["ranks"] | {"file": "k.pq"}


def test_json_on_stdout_moves_other_formats_away(rope_bench, dataset, embeddings, tmp_path):
    for name in ("a", "b"):
        words = ["--name", name, "--json", tmp_path / f"{name}.json"]
        assert rope_bench("score", embeddings, "--data", dataset, *words)[0] == 0
    for style, words in (("table", "Differences"), ("markdown", "| rank | model |"), ("latex", "toprule")):
        compare = ["compare", tmp_path / "a.json", tmp_path / "b.json", "--format", style, "--json", "-"]
        code, out, err = rope_bench(*compare)
        assert (code, words in err) == (0, True)
        assert len(json.loads(out)["standings"]) == 2


def test_a_quick_score_is_written_as_one(rope_bench, dataset, embeddings, tmp_path):
    quick = tmp_path / "q.json"
    assert rope_bench("score", embeddings, "--data", dataset, "--quick", "--json", quick)[0] == 0
    told = json.loads(quick.read_text("utf-8"))
    assert (told["quick"], told["pairs"]["P2V"]["n_queries"]) == (True, 12)
    code, _, err = rope_bench("slices", quick, "--data", dataset)
    assert (code, "names no file of ranks" in err) == (2, True)


def test_another_device_gives_the_same_result(rope_bench, dataset, embeddings, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    for device in ("cpu", "cpu:0"):  # the second by way of torch
        words = ["--device", device, "--json", tmp_path / f"{device}.json"]
        assert rope_bench("score", embeddings, "--data", dataset, *words)[0] == 0
    one, other = (json.loads((tmp_path / f"{device}.json").read_text("utf-8")) for device in ("cpu", "cpu:0"))
    assert one["pairs"] == other["pairs"]
    assert one["one_shot"] == other["one_shot"]


def test_format_and_order_of_files_do_not_change_a_number(rope_bench, dataset, embeddings, tmp_path):
    for domain, rows in read_embeddings([embeddings]).items():
        order = np.random.default_rng(0).permutation(len(rows.sample_ids))
        np.save(tmp_path / f"{domain}.npy", rows.vectors[order])
        (tmp_path / f"{domain}.ids.txt").write_text("\n".join(rows.sample_ids[i] for i in order), "utf-8")
    names = [tmp_path / f"{domain}.npy" for domain in ("video", "live", "page")]
    for files, target in (([embeddings], "a.json"), (names, "b.json")):
        rope_bench("score", *files, "--data", dataset, "--name", "x", "--threads", 1, "--json", tmp_path / target)
    first, second = (json.loads((tmp_path / name).read_text("utf-8")) for name in ("a.json", "b.json"))
    assert first.pop("ranks")["sha256"] == second.pop("ranks")["sha256"]
    assert first == second


def test_results_are_compared_and_sliced_from_their_ranks(rope_bench, dataset, embeddings, tmp_path):
    noisy = tmp_path / "noisy.parquet"
    spoil(embeddings, noisy, with_noise)
    for path in (embeddings, noisy):
        rope_bench("score", path, "--data", dataset, "--json", tmp_path / f"{path.stem}.json")
    results = [tmp_path / "embeddings.json", tmp_path / "noisy.json"]
    for style, words in (("table", "Differences"), ("markdown", "| rank | model |"), ("latex", r"\toprule")):
        code, out, err = rope_bench("compare", *results, "--format", style)
        assert (code, err) == (0, "")
        assert words in out
    code, out, _ = rope_bench("compare", *results, "--format", "json", "--metric", "mAP")
    assert {standing["model"] for standing in json.loads(out)["standings"]} == {"embeddings", "noisy"}
    code, out, _ = rope_bench("slices", results[0], "--data", dataset, "--pair", "P2V", "--json", tmp_path / "s.json")
    assert code == 0
    assert "Slices of P2V" in out
    assert json.loads((tmp_path / "s.json").read_text("utf-8"))["slices"]
    (tmp_path / "noisy.ranks.parquet").unlink()
    code, _, err = rope_bench("compare", *results)
    assert (code, "its ranks" in err) == (2, True)


def test_doctor_writes_a_page_and_its_numbers(rope_bench, dataset, embeddings, tmp_path):
    page, numbers = tmp_path / "page.html", tmp_path / "page.json"
    code, out, err = rope_bench("doctor", embeddings, "--data", dataset, "--html", page, "--json", numbers)
    assert (code, err) == (0, "")
    assert "What smaller vectors would cost" in out
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert json.loads(numbers.read_text("utf-8"))["retrieval"]


def test_doctor_takes_embeddings_that_cannot_be_scored(rope_bench, dataset, embeddings, tmp_path):
    spoil(embeddings, tmp_path / "bad.parquet", with_nan)
    code, out, _ = rope_bench("doctor", tmp_path / "bad.parquet", "--data", dataset)
    assert code == 0
    assert "NaN" in out


def with_noise(given):
    given["page"][1][:] += np.random.default_rng(0).normal(size=given["page"][1].shape)


def spoil(embeddings, path, change):
    given = {domain: [list(rows.sample_ids), rows.vectors] for domain, rows in read_embeddings([embeddings]).items()}
    change(given)
    write_embeddings(path, {domain: (ids, vectors) for domain, (ids, vectors) in given.items()})


def with_nan(given):
    given["page"][1][3, 0] = np.nan


def with_zero(given):
    given["live"][1][0] = 0


def without_one(given):
    given["video"] = [given["video"][0][1:], given["video"][1][1:]]


def with_unknown_id(given):
    given["page"][0][0] = "unexpected"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_nan, "NaN"),
        (with_zero, "zero"),
        (without_one, "without an embedding"),
        (with_unknown_id, "unexpected"),
    ],
)
def test_embeddings_that_do_not_fit_are_named(change, words, rope_bench, dataset, embeddings, tmp_path):
    spoil(embeddings, tmp_path / "bad.parquet", change)
    result = tmp_path / "result.json"
    code, _, err = rope_bench("score", tmp_path / "bad.parquet", "--data", dataset, "--json", result)
    assert code == 1
    assert err.startswith("error: ")
    assert words in err
    assert not result.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["score", "nowhere.parquet"],
        ["score", __file__],
        ["score"],
        ["run", "--model", "baselines", "--out", "x.parquet"],
        ["run", "--model", "baselines:nobody", "--out", "x.parquet"],
        ["run", "--model", "baselines:handcrafted", "--out", "x.parquet", "--share", "2/2"],
        ["score", __file__, "--memory", "much"],
        ["score", __file__, "--trials", "0"],
        ["score", __file__, "--device", "abacus"],
        ["score", __file__, "--quick", "--save-ranks", "x.parquet"],
        ["compare", "nowhere.json", "nowhere.json"],
        ["slices", "nowhere.json"],
        ["doctor", "nowhere.npz"],
    ],
)
def test_wrong_commands_exit_with_2(words, rope_bench, dataset, monkeypatch):
    monkeypatch.setenv("ROPE_DATA", str(dataset))
    code, _, err = rope_bench(*words)
    assert code == 2, err
    assert "Traceback" not in err


def test_a_model_that_is_no_function_ends_with_one_and_a_changed_one_with_two(
    rope_bench, dataset, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    run = ["run", "--model", "noisy_model:Model", "--data", dataset, "--out", "e.parquet"]
    text = "import numpy as np\nclass Model:\n    name = 'noisy'\n    def embed(self, samples):\n        return {}\n"

    def outcome(expression, *words):
        (tmp_path / "noisy_model.py").write_text(text.format(expression))
        sys.modules.pop("noisy_model", None)
        code, _, err = rope_bench(*run, *words)
        return code, err

    noise, ones = "np.random.normal(size=(len(samples), 8))", "np.eye(8)[[len(s.sample_id) for s in samples]]"
    code, err = outcome(noise)
    assert (code, "error: noisy: two calls of embed with the same pages" in err) == (1, True)
    assert outcome(noise, "--no-check")[0] == 0
    code, err = outcome(ones)
    assert (code, "noisy_model.py has changed; start over with --overwrite" in err) == (2, True)
    code, err = outcome(ones, "--overwrite")
    assert (code, "the source of noisy_model.py stands for it" in err) == (0, True)
