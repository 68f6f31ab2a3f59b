"""The commands, from nothing to a site."""

import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import typer

from baselines.handcrafted import Handcrafted
from leaderboard import cli
from leaderboard.serve import serve_site
from rope.bench.running.run import run_embedder
from rope.console import run_app
from rope.dataset.build import build_dataset
from rope.synthetic.release import write_release

ROOT = Path(__file__).parents[2]


class Characters:
    """Counts characters of the text: a model of eight numbers that looks at no image."""

    name = "characters"

    def embed(self, samples):
        return np.array([[1 + (s.text or "").count(c) for c in "aeinrst "] for s in samples], np.float32)


class Sizes:
    """Sizes of the first frame's file: a model that knows next to nothing."""

    name = "sizes"

    def embed(self, samples):
        return np.array([[1.0, len(s.frames[0].data or b"") / 1e4, len(s.frames)] for s in samples], np.float32)


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command of either program; returns its exit code, stdout and stderr."""
    bench = typer.Typer(pretty_exceptions_enable=False)
    cli.add_commands(bench)

    def run(program, *words):
        monkeypatch.setattr(sys, "argv", [program, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main() if program == "leaderboard" else run_app(bench)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_a_folder_without_results_is_not_verified(command, tmp_path):
    code, out, err = command("leaderboard", "verify", tmp_path)
    assert (code, out) == (2, "")
    assert "holds no result, so there is nothing to verify" in err


def test_three_models_are_scored_submitted_verified_and_shown_from_nothing(command, card_file, tmp_path):
    write_release(tmp_path / "release", products=24, seed=0, mp4=False, workers=1, progress=False)
    data = tmp_path / "data"
    build_dataset(tmp_path / "release", data, progress=False)
    results, site = tmp_path / "results", tmp_path / "site"
    for model in (Handcrafted(), Characters(), Sizes()):
        vectors = run_embedder(model, data, tmp_path / f"{model.name}.parquet", progress=False)
        card = card_file(model.name)
        words = ["submit", vectors, "--model-card", card, "--data", data, "--out", results]
        code, out, err = command("rope-bench", *words)
        assert (code, err) == (0, "")
        assert "pull request" in out
    code, out, _ = command("leaderboard", "verify", results, "--data", data)
    assert (code, out.splitlines()[-1]) == (0, "3 sound, 3 of them scored again; 0 refused")
    assert command("leaderboard", "build", results, "--data", data, "--out", site)[0] == 0
    assert "Model characters" in (site / "index.html").read_text("utf-8")
    code, out, _ = command("rope-bench", "leaderboard", results, "--metric", "mAP")
    assert code == 0
    assert out.index("Model handcrafted") < out.index("Model sizes")


def test_vectors_are_stored_as_the_options_say(command, card_file, models, data, tmp_path):
    words = ["submit", models["gamma"], "--model-card", card_file("gamma"), "--data", data, "--out", tmp_path / "out"]
    code, out, _ = command("rope-bench", *words, "--dtype", "int8", "--dims", "12")
    assert (code, "int8 changes no metric by more than" in out) == (0, True)
    code, out, _ = command("leaderboard", "verify", tmp_path / "out", "--data", data)
    assert (code, out.splitlines()[-1]) == (0, "1 sound, 1 of them scored again; 0 refused")
    code, _, err = command("rope-bench", *words, "--dims", "99")
    assert (code, "--dims 99: the vectors have 16 dimensions" in err) == (2, True)


def test_a_build_says_what_was_not_scored_again_and_what_was_left_out(command, results, tmp_path):
    code, out, _ = command("leaderboard", "build", results, "--out", tmp_path / "site")
    assert (code, "rows not scored again: 3" in out) == (0, True)
    rows = shutil.copytree(results, tmp_path / "rows")
    next((rows / "beta").glob("*.ranks.parquet")).write_bytes(b"x")
    code, _, err = command("leaderboard", "build", rows, "--out", tmp_path / "other")
    assert (code, "beta" in err, "--leave-out" in err, (tmp_path / "other").exists()) == (1, True, True, False)
    code, out, _ = command("leaderboard", "build", rows, "--out", tmp_path / "other", "--leave-out")
    assert (code, "left out" in out, "rows 2, boards 1" in out) == (0, True, True)
    code, out, _ = command("rope-bench", "leaderboard", rows, "--leave-out")
    assert (code, "Model alpha" in out, "Model beta" in out) == (0, True, False)


def test_a_changed_row_of_the_last_release_needs_its_model_named(command, results, tmp_path):
    rows = shutil.copytree(results, tmp_path / "rows")
    entry = next(path for path in (rows / "beta").glob("*.json") if "score" not in path.name)
    entry.write_text(entry.read_text("utf-8").replace('"licence": "MIT"', '"licence": "other"'), "utf-8")
    words = ["leaderboard", "verify", rows, "--allow-unscored", "--base", results]
    code, out, _ = command(*words)
    assert (code, "card.licence 'MIT' -> 'other'" in out, "--allow-changed beta" in out) == (1, True, True)
    assert command(*words, "--allow-changed", "beta")[0] == 0
    assert command(*words, "--allow-changed", "delta")[0] == 2


def test_a_refused_row_ends_with_one(command, results, tmp_path):
    code, out, err = command("leaderboard", "verify", results)
    assert (code, "not all rows" in err) == (1, True)
    assert out.count("refused   ") == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id: [", "not YAML"),
        ("id: a\nid: b", "given twice"),
        ("- a list", "expected a mapping"),
        ("id: &x a\nname: *x", "uses an alias"),
        ("id: a", "'code' is a required property"),
        ("x: !!python/object/apply:os.system ['true']", "uses the tag"),
    ],
)
def test_a_faulty_card_is_refused(command, models, data, tmp_path, text, reason):
    (tmp_path / "card.yaml").write_text(text, "utf-8")
    words = ["submit", models["alpha"], "--model-card", tmp_path / "card.yaml", "--data", data, "--out", tmp_path]
    code, _, err = command("rope-bench", *words)
    assert code == 1
    assert reason in err


def test_a_missing_card_is_a_wrong_command(command, models, data, tmp_path):
    words = ["submit", models["alpha"], "--model-card", tmp_path / "no.yaml", "--data", data, "--out", tmp_path]
    code, _, err = command("rope-bench", *words)
    assert (code, "no such file" in err) == (2, True)


def test_an_unknown_metric_is_a_wrong_command(command, results):
    code, _, err = command("rope-bench", "leaderboard", results, "--metric", "R@3")
    assert (code, "expected one of R@1" in err) == (2, True)


def test_serve_answers_with_the_site(checked, monkeypatch):
    addresses = []
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", lambda server: fetch(server, addresses))
    serve_site(checked, 0, addresses.append)
    assert b"Model alpha" in addresses[1]


def fetch(server, addresses):
    """Answer one request, made from another thread."""

    def ask():
        addresses.append(urllib.request.urlopen(addresses[0]).read())

    asking = threading.Thread(target=ask)
    asking.start()
    server.handle_request()
    asking.join()


def test_rope_bench_finds_the_commands(monkeypatch, capsys):
    from rope.bench import cli as bench

    point = EntryPoint("leaderboard", "leaderboard.cli:add_commands", "rope_bench.commands")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setattr(sys, "argv", ["rope-bench", "--help"])
    with pytest.raises(SystemExit):
        bench.main()
    out = capsys.readouterr().out
    assert "submit" in out
    assert "leaderboard" in out


def test_nothing_heavy_is_imported_at_first():
    program = "import sys, leaderboard.cli; print({'numpy', 'pyarrow', 'jinja2', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"


def test_verify_scores_on_the_dataset_of_rope_data_where_none_is_named(command, results, data, monkeypatch):
    folder = results / "alpha"
    code, out, err = command("leaderboard", "verify", folder)
    assert (code, "name its directory with --data" in out + err) == (1, True)
    monkeypatch.setenv("ROPE_DATA", str(data))
    code, _, err = command("leaderboard", "verify", folder)
    assert (code, "(ROPE_DATA)" in err) == (0, True)
    monkeypatch.setenv("ROPE_DATA", str(data / "nowhere"))
    code, _, err = command("leaderboard", "verify", folder)
    assert (code, "nowhere" in err) == (2, True)
