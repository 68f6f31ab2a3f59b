"""What docs/curation.md tells a new curator to do is done here, as it stands."""

import dataclasses
import re
import shlex
import sys
from pathlib import Path

import pytest

from rope.cli import main
from rope.curation.pipeline.operation import BUILT_IN, load_operation
from rope.curation.pipeline.recipe import LeakRules, PoolSource, RunLimits
from rope.dataset.manifest import read_manifest

PAGE = (Path(__file__).parents[2] / "docs" / "curation.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def files() -> dict[str, str]:
    """The files on the page, by the name in their first line."""
    named = [text.partition("\n")[0].removeprefix("# ") for _, text in BLOCKS]
    return {name: text for name, (kind, text) in zip(named, BLOCKS, strict=True) if kind in ("python", "toml")}


def commands() -> list[list[str]]:
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


HUB_MODEL = "OFA-Sys/chinese-clip-vit-base-patch16"


@pytest.mark.slow
def test_the_page_is_followed_from_its_first_command_to_its_last(tmp_path, monkeypatch, capsys, tiny_chinese_clip):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the layers of the small model are not worth a thread
    for name, text in files().items():
        small = text.replace(f'"{HUB_MODEL}"', f'"{tiny_chinese_clip}"\nframes = 1')
        (tmp_path / name).write_text(small, "utf-8")
    for command in commands():
        if command[0] == "python":
            exec(compile(files()[command[1]], command[1], "exec"), {})
            continue
        if command[-1] == "ID":
            import pyarrow.parquet as pq

            command[-1] = pq.read_table("raw/hinted.parquet")["id"][0].as_py()
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, f"{command}: {capsys.readouterr()}"
    said = capsys.readouterr().out
    assert "every row is accounted for" in said
    assert "rejected: low_brightness" in said
    assert re.search(r"answers\.csv: \d+ answers are new, 0 were known", said)
    assert re.search(r"^video: .*\d+ labels of \d+ products, \d.* of them match", said, re.MULTILINE)
    assert re.search(r"^precision \d+\.\d% \(95 % interval", said, re.MULTILINE)
    assert "rejected: not_the_product" in said
    assert "## Precision" in (tmp_path / "audited" / "README.md").read_text("utf-8")
    assert read_manifest(tmp_path / "spring").counts["validation"]["products"] == 4


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_operation_is_in_the_table_with_all_its_options(name):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
    options = [field.name for field in dataclasses.fields(load_operation(name).options)]
    assert [option for option in options if f"`{option}`" not in row] == []


FIELDS = [field for table in (RunLimits, PoolSource, LeakRules) for field in dataclasses.fields(table)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.name)
def test_every_entry_of_a_recipe_is_in_the_table_with_its_default(field):
    row = next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{field.name}`" in line)
    default = row.split("|")[2].strip()
    assert not default or float(default) == field.default
