"""Tables in terminals of any width: no number is cut, broken or lost."""

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

import rope.console
from rope.bench.shown import show
from rope.table import UNLIMITED, Table

ROOT = Path(__file__).parents[1]


def shown(table: Table, width: int) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def of_scores(*, chinese: bool = False) -> Table:
    """As wide as the table of `rope-bench score`, and every number in it occurs once."""
    table = Table("检索，单位 %" if chinese else "Retrieval, in %", "说明" if chinese else "A caption", n_keys=1)
    table.add_column("商品类别" if chinese else "pair")
    table.add_columns(*(f"R@{k}" for k in (1, 5, 10, 20, 50)), "MRR", "mAP", "median rank", "macro R@1", "ties", "95 %")
    for row in range(3):
        name = f"女装连衣裙长袖秋季新款{row}" if chinese else f"P2V{row}"
        table.add_row(name, *(f"{10 * row + i}.25" for i in range(10)), f"{row}1.50 - {row}2.50")
    return table


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("width", [20, 60, 80, 120, UNLIMITED])
def test_every_number_is_there_whole_and_once_in_any_width(width, chinese):
    text = shown(of_scores(chinese=chinese), width)
    numbers = re.findall(r"\d+\.\d\d", text)
    assert sorted(numbers) == sorted(
        [f"{10 * r + i}.25" for r in range(3) for i in range(10)] + ([f"{r}{n}.50" for r in range(3) for n in (1, 2)])
    )
    assert "…" not in text
    assert width < 40 or max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize(("width", "blocks"), [(60, 2), (80, 2), (120, 1), (UNLIMITED, 1)])
def test_columns_that_do_not_fit_follow_below_the_first_with_the_keys_again(width, blocks):
    text = shown(of_scores(), width)
    assert (text.count("pair"), text.count("P2V1")) == (blocks, blocks)


def test_texts_are_broken_between_words_before_columns_move():
    table = Table()
    for heading in ("", "what", "what to do"):
        table.add_column(heading)
    table.add_row("warning", "a hub is found by many queries of another domain", "centre each domain before search")
    text = shown(table, 60)
    assert text.count("warning") == 1
    assert set(text.split()) >= {"queries", "another", "centre", "domain", "search"}


def test_a_name_longer_than_the_terminal_is_continued_and_not_cut():
    table = Table()
    table.add_column("file")
    table.add_row("x" * 100)
    assert shown(table, 40).count("x") == 100


def test_what_looks_like_markup_is_shown_and_control_characters_are_not():
    table = Table("[red]title[/red]", "[b]")
    table.add_column("[i]")
    table.add_row("[bold]\x1b[31m")
    text = shown(table, 40)
    assert all(part in text for part in ("[red]title[/red]", "[b]", "[i]", "[bold]"))
    assert "\\x1b[31m" in text
    assert "\x1b" not in text


def test_a_row_has_a_cell_for_each_column():
    table = Table()
    table.add_columns("a", "b")
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        table.add_row("1")


def test_a_pipe_has_no_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert rope.console.output().width == UNLIMITED


def test_every_table_of_a_terminal_is_made_here():
    others = {
        path.relative_to(ROOT).as_posix()
        for folder in ("rope", "cope", "baselines", "leaderboard")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"rich\.table|rich import .*\btable\b", path.read_text("utf-8"))
    }
    assert others == {"rope/table.py"}


def test_a_command_in_a_sentence_is_in_one_piece_in_a_narrow_terminal():
    console = Console(file=StringIO(), width=60, force_terminal=True, color_system="standard")
    command = "rope-bench gallery B --against A --choose lost --pair P2V --html lost.html, 26.40 points [bold]"
    show([command], console)
    assert console.file.getvalue() == command + "\n"
