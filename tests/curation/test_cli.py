import subprocess
import sys

import pytest
from PIL import Image

from tests.curation.pools import POISON, recipe_of, write_rows


def test_a_recipe_is_run_reported_explained_and_audited(curate, tmp_path):
    recipe_of(tmp_path, POISON + 'rejects = ["r02"]', n_rows=6)
    path = tmp_path / "work.toml"
    assert curate("status", path)[:2] == (0, "pool: stale, 0 of 1 shards are there\npoison: waiting\n")
    code, out, err = curate("run", path, "--workers", 1)
    assert (code, err) == (0, "")
    assert "work: what became of 6 rows" in out
    assert "rejected: unwanted" in out
    assert curate("status", path)[1].endswith("poison: done, 1 of 1 shards are there\n")
    assert curate("audit", path) == (0, f"{path}: every row is accounted for; of 6 rows: 5 kept, 1 rejected\n", "")
    assert curate("why", path, "r02")[1] == (
        "pool: kept; text row r02, category a\npoison: rejected: unwanted, score 3; as asked\n"
    )
    assert curate("report", path, "--html", tmp_path / "page.html")[0] == 0
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()


def test_why_tells_what_made_two_products_one(curate, tmp_path):
    merge = 'use = "merge"\ncopies = false\nthresholds = { page-page = 1.0 }'
    recipe_of(tmp_path, 'use = "decode"', merge, n_rows=9)
    for i in range(9):
        Image.new("L", (8, 8), 10 * (i % 6)).save(tmp_path / f"r{i:02d}.jpg")
    path = tmp_path / "work.toml"
    assert curate("run", path, "--workers", 1)[0] == 0
    tie = "  one with r06: r00 and r06, same media 1.0000 (the same files)\n"
    for other, sentence in (
        ("r06", f"r00 and r06 are one product: same media (1.0000)\n{tie}"),
        ("r03", "r00 and r03 are two products: no media of one resemble media of the other\n"),
    ):
        assert curate("why", path, "r00", "--merged-with", other) == (0, sentence, "")
    assert curate("why", path, "r00")[1].endswith(f"\nmerge: kept; product_id r00, merge_queued False\n{tie}")
    assert "product 'r99' is not among the 9 products" in curate("why", path, "r00", "--merged-with", "r99")[2]
    recipe_of(tmp_path, 'use = "decode"', work="alone")
    assert curate("run", tmp_path / "alone.toml", "--workers", 1)[0] == 0
    assert (
        "has no stage with the operation merge"
        in curate("why", tmp_path / "alone.toml", "r00", "--merged-with", "r06")[2]
    )


def test_counts_that_do_not_add_up_end_with_1_and_a_sentence(curate, tmp_path):
    write_rows(tmp_path / "pool.parquet", ["a", "a"])
    recipe_of(tmp_path, POISON)
    code, out, _ = curate("run", tmp_path / "work.toml", "--workers", 1)
    assert code == 1
    assert "id 'a' is 2 times in the pool" in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["run", "x.toml"], 2, "error: x.toml: no such file; expected a recipe in TOML"),
        (["report", "work.toml"], 1, "error: stage 'pool' of work is not up to date; run: rope curate run"),
        (["why", "work.toml"], 2, "Missing argument 'ID'"),
        (["run", "work.toml", "--engine", "spark"], 2, "'spark' is not one of"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(arguments, code, sentence, curate, tmp_path, monkeypatch):
    recipe_of(tmp_path, POISON)
    monkeypatch.chdir(tmp_path)
    ended, _, err = curate(*arguments)
    assert ended == code
    assert sentence in err


def test_help_imports_nothing_heavy():
    heavy = {"numpy", "pyarrow", "duckdb", "PIL", "pebble", "ray", "filelock"}
    program = f"import sys, rope.curation.cli; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
