"""A log that anyone may read: what `leaderboard verify --public-log` says, and what it never says."""

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from leaderboard import checked_board, cli, verify
from leaderboard.terminal import public_lines
from leaderboard.vectors import as_stored, write_vectors
from leaderboard.verify import Verdict
from rope.bench.io.readers import read_embeddings
from rope.dataset.directory import read_labels
from rope.errors import RopeError
from rope.files import sha256_of


def run(*words):
    done = CliRunner().invoke(cli.app, ["verify", *map(str, words)])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def rename_samples(folder, names):
    """Write the vectors again with other ids, and the hash of the file into the entry."""
    (path,) = folder.glob("*.embeddings.parquet")
    rows = read_embeddings([path])
    for one in rows.values():
        one.sample_ids[:] = [names(sample_id) for sample_id in one.sample_ids]
    write_vectors(path, {domain: as_stored(one, "float16") for domain, one in rows.items()})
    (entry,) = (found for found in folder.glob("*.json") if not found.name.endswith(".score.json"))
    raw = json.loads(entry.read_text("utf-8"))
    raw["embeddings"]["sha256"] = sha256_of(path)
    entry.write_text(json.dumps(raw), "utf-8")


@pytest.fixture
def rows(results, data, tmp_path):
    """Sound rows, one with the ids of the training split, one with ids that nobody knows, a stray file, a lost row."""
    copy = shutil.copytree(results, tmp_path / "rows")
    train = [sample_id for labels in read_labels(data, "train").values() for sample_id in labels.sample_ids]
    rename_samples(copy / "alpha", lambda sample_id: {"0": train[0], "1": train[1]}.get(sample_id, sample_id))
    rename_samples(copy / "beta", lambda sample_id: f"secret-{sample_id}")
    (copy / "gamma" / "::warning::hello").write_text("x")
    return copy


def test_counts_and_kinds_are_said_and_no_id_is(rows, results, data, tmp_path):
    shutil.copytree(results / "gamma", tmp_path / "base" / "omega")
    words = [rows, "--data", data, "--base", tmp_path / "base"]
    code, out = run(*words)
    assert (code, "secret-" in out, "::warning" in out) == (1, True, True)
    code, out = run(*words, "--public-log")
    assert code == 1
    lines = out.splitlines()
    for name, stage in {"alpha": "vectors", "beta": "vectors", "gamma": "names", "omega": "last release"}.items():
        assert any(re.fullmatch(rf"refused   {name}: \d problems?, found in: {stage}", line) for line in lines)
    assert "rescored  gamma" in lines
    assert any(line.endswith("; 4 refused") for line in lines)
    ids = {
        one for split in ("train", "validation") for row in read_labels(data, split).values() for one in row.sample_ids
    }
    ids |= {one for row in read_labels(data, "validation").values() for one in row.product_ids}
    assert not {word.strip("'\",:;") for word in out.split()} & {
        one for one in ids if not one.isdigit() or len(one) > 1
    }
    assert "secret-" not in out
    assert "::warning" not in out


def test_the_name_of_a_folder_is_shown_only_where_it_is_an_id():
    names = ["clip-b.32", "::warning::x", "a\n::error::b", "Ünder", "-", "\x1b[31m"]
    told = public_lines([Verdict(verify.Path(f"{name}/a.json"), False, ("x",)) for name in names])
    assert told[0] == "refused   clip-b.32: 1 problem, found in: entry"
    assert told[1:-1] == ["refused   a folder of another name: 1 problem, found in: entry"] * 5


@pytest.mark.parametrize("error", [RopeError("sample 'secret-1'"), ValueError("secret-1"), KeyError("secret-1")])
def test_an_error_that_ends_the_run_is_named_by_its_kind(results, data, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(checked_board, "check", fail)
    code, out = run(results, "--data", data, "--public-log")
    assert (code, "secret" in out) == (1, False)
    assert f"ended with {type(error).__name__}; without --public-log it says why" in out


def test_vectors_whose_dataset_is_not_given_are_counted_and_not_called_sound(results, data, tmp_path):
    code, out = run(results, "--allow-unscored")
    assert code == 0
    assert (
        out.splitlines()[-1]
        == "0 sound, 0 of them scored again; 0 refused; 3 not scored, as their datasets were not given"
    )
    assert out.count("unscored  ") == 3
    assert run(results)[0] == 1


def test_what_is_wrong_otherwise_is_refused_whether_its_dataset_is_given_or_not(results, tmp_path):
    copy = shutil.copytree(results, tmp_path / "rows")
    (path,) = (copy / "alpha").glob("*.score.ranks.parquet")
    path.write_bytes(b"x")
    code, out = run(copy, "--allow-unscored", "--public-log")
    assert code == 1
    assert "refused   alpha: 1 problem, found in: files" in out
