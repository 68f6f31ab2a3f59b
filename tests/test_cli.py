"""The command `rope`: what it prints, and how it ends."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rope.cli import main
from rope.console import run_app
from rope.errors import DatasetError, UsageError
from tests.dataset.conftest import small_tables, write_tables
from tests.releases import tiny_release, write_release
from tests.stored import RELEASE, release_counts

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "pyarrow", "datasets", "duckdb", "PIL"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROPE_DATA", raising=False)


@pytest.fixture
def rope(monkeypatch, capsys):
    """Runs a command; returns its exit code and what it wrote to stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rope", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def small(tmp_path):
    return write_tables(tmp_path / "small", small_tables())


def test_a_sound_dataset_ends_with_0_and_a_line(rope, small):
    code, out, err = rope("validate", small, "--decode")
    assert (code, err) == (0, "")
    assert "sound; train: 2 products, 3 pages, 2 videos, 2 lives; validation:" in out


def test_problems_end_with_1_and_a_table_of_all(rope, small):
    (small / "[notes].txt").write_text("")
    code, out, _ = rope("validate", small, "--official")
    assert code == 1
    assert "9 problems" in out
    assert "[notes].txt" in out
    assert "ROPE as published has 3,025,236" in out


def test_a_release_in_another_encoding_is_built_when_it_is_named(rope, tmp_path):
    release = write_release(tmp_path / "release", tiny_release())
    titles = release / "training_page_titles.txt"
    titles.write_bytes(titles.read_text("utf-8").replace("text", "标题").encode("gb18030"))
    code, _, err = rope("build", release, tmp_path / "out")
    assert (code, "say so with --encoding gb18030" in err) == (1, True)
    code, out, _ = rope("build", release, tmp_path / "out", "--encoding", "gb18030")
    assert (code, "x bad_encoding" in out) == (0, False)
    code, _, err = rope("build", release, tmp_path / "other", "--encoding", "klingon")
    assert (code, "'klingon' is not an encoding of text" in err) == (2, True)


def test_info_shows_tables_and_writes_the_sheet(rope, small, tmp_path):
    code, out, _ = rope("info", small, "--sheet", tmp_path / "sheet.png", "--products", 1)
    assert code == 0
    assert "fruit" in out
    assert "wrote" in out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("media", ["embed", "reference"])
def test_a_release_of_photos_is_built_checked_described_and_loaded(media, rope, tmp_path, monkeypatch):
    import datasets

    from rope.dataset.load import load_dataset

    out = tmp_path / "grocery"
    code, said, _ = rope("build", RELEASE, out, "--media", media, "--shard-size", "4M")
    counts = "; ".join(
        f"{split}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        for split, kinds in release_counts().items()
    )
    assert (code, said.split("; fingerprint")[0]) == (0, f"{out}: built; {counts}")
    assert rope("build", RELEASE, out, "--media", media, "--shard-size", "4M")[1].startswith(f"{out}: is up to date")
    code, said, _ = rope("validate", out, "--decode")
    assert (code, "sound" in said) == (0, True), said
    assert rope("info", out, "--sheet", tmp_path / "sheet.png")[0] == 0
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    clip = next(iter(load_dataset("rope", "lives", split="validation", streaming=True)))
    assert [max(image.size) <= 320 for image in clip["frames"]] == [True] * len(clip["frame_times"])


def test_a_build_says_what_was_left_out_and_names_the_first(rope, tmp_path):
    release = tmp_path / "release"
    code, said, _ = rope("synthesize", release, "--products", 4, "--seed", 1)
    assert (code, said) == (0, f"wrote 4 products to {release}\n")
    with (release / "training_page_titles.txt").open("a") as file:
        file.write("no comma here\n")
    code, said, _ = rope("build", release, tmp_path / "out")
    assert code == 0
    assert "1 x bad_row, left out:\n    training_page_titles.txt:" in said
    code, _, err = rope("build", release, tmp_path / "strict", "--strict")
    assert (code, "1 x bad_row, and strict was asked for" in err) == (1, True)


def test_a_pool_is_made_by_its_format(rope, tmp_path):
    assert rope("synthesize", tmp_path / "pool", "--products", 2, "--format", "pool")[0] == 0
    assert any((tmp_path / "pool").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["validate", "nowhere"], 2, "error: nowhere: no such directory"),
        (["info", "small", "--sheet", "a.jpg"], 2, "error: a.jpg: a contact sheet is written as PNG"),
        (["build", "small", "out", "--memory", "much"], 2, "error: --memory 'much': expected a number of bytes"),
        (["validate"], 2, "Missing argument 'OUT'"),
        (["validate", "small", "--fast"], 2, "No such option"),
        (["synthesize", "out", "--format", "zip"], 2, "'zip' is not one of"),
        (["synthesize", "out", "--domains", "page,session"], 2, "error: domains: 'session' cannot be drawn; expected"),
        (["synthesize", "out", "--format", "pool", "--domains", "page"], 2, "error: --domains page: a raw pool"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(arguments, code, sentence, rope, small, monkeypatch):
    monkeypatch.chdir(small.parent)
    ended, _, err = rope(*arguments)
    assert ended == code
    assert sentence in err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (UsageError("no such path"), 2, "error: no such path\n"),
        (DatasetError("altered"), 1, "error: altered\n"),
        (OSError(28, "No space left on device", "x"), 1, "error: [Errno 28] No space left on device: 'x'\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; the same command starts over\n"),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(raised, code, message, monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise raised

    monkeypatch.setattr(sys, "argv", ["rope"])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    assert (ended.value.code, capsys.readouterr().err) == (code, message)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["rope"])
    with pytest.raises(ZeroDivisionError):
        run_app(app)


def test_help_imports_nothing_heavy():
    program = f"""import sys
from rope.cli import main
sys.argv = ["rope", "--help"]
try:
    main()
except SystemExit as ended:
    print(ended.code, sorted({HEAVY!r} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    for command in ("build", "fetch", "validate", "info", "synthesize", "push", "pull", "croissant", "export"):
        assert command in done.stdout


@pytest.fixture
def beside_the_other_rope(tmp_path):
    """Runs a program where a distribution named `rope` is installed."""
    metadata = tmp_path / "site" / "rope-1.13.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rope\nVersion: 1.13.0\n")

    def run(program: str) -> subprocess.CompletedProcess[str]:
        path = f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(ROOT)!r}]\n"
        return subprocess.run([sys.executable, "-c", path + program], capture_output=True, text=True, check=False)

    return run


def test_the_refactoring_library_in_the_same_environment_is_refused_at_import(beside_the_other_rope):
    done = beside_the_other_rope("import rope")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: rope-bench and the refactoring library rope 1.13.0 are installed")
    assert "pip uninstall rope" in last


def test_the_commands_say_so_where_the_other_has_overwritten_our_init(beside_the_other_rope, tmp_path):
    shutil.copytree(ROOT / "rope", tmp_path / "site" / "rope")
    (tmp_path / "site" / "rope" / "__init__.py").write_text('"""A refactoring library."""')
    done = beside_the_other_rope("from rope.cli import main; main()")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: rope-bench and the refactoring library")
