import typing
from pathlib import Path

import pytest

from rope.config import check_options
from rope.curation.filtering.stage import Filter
from rope.curation.pipeline.operation import BUILT_IN, load_operation
from rope.curation.pipeline.recipe import read_recipe
from rope.errors import UsageError

WHOLE = """
name = "spring"
work = "made"
[pool]
path = "raw"
shard_rows = 10
columns = { text = "title" }
[limits]
deadline_s = 5
[leaks]
accepted = { title = 2 }
[[stage]]
use = "decode"
[[stage]]
name = "cut"
use = "filter"
minimum = 0.25
domains = { live = 0.2 }
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "recipe.toml").write_text(text, "utf-8")
        return read_recipe(tmp_path / "recipe.toml")

    return write_and_read


def test_a_recipe_is_read_with_paths_beside_it(read, tmp_path):
    recipe = read(WHOLE)
    assert (recipe.name, recipe.work, recipe.pool_path) == ("spring", tmp_path / "made", tmp_path / "raw")
    assert (recipe.pool.shard_rows, recipe.pool.columns, recipe.limits.deadline_s) == (10, {"text": "title"}, 5)
    assert [(stage.name, stage.use) for stage in recipe.stages] == [("decode", "decode"), ("cut", "filter")]
    assert recipe.leaks.accepted == {"title": 2}
    assert recipe.stages[1].options == {"minimum": 0.25, "domains": {"live": 0.2}}


def test_little_has_to_be_said(read, tmp_path):
    recipe = read('[pool]\npath = "raw"\n[[stage]]\nuse = "decode"')
    assert (recipe.name, recipe.work) == ("recipe", tmp_path / "recipe-work")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "spring"', "name = 3", "name is 3; expected a text"),
        (
            'work = "made"',
            'folder = "made"',
            "unknown key 'folder'; expected some of pool, stage, name, work, previous, limits, leaks",
        ),
        ('path = "raw"', "", "pool: lacks 'path'; expected a text"),
        ("shard_rows = 10", "shard_rows = 0", "pool.shard_rows is 0; expected a whole number, at least 1"),
        ("deadline_s = 5", "deadline_s = -1", "limits.deadline_s is -1; expected a finite number, above 0"),
        ("title = 2", "titles = 2", "leaks.accepted: unknown key 'titles'; did you mean 'title'"),
        ("title = 2", "title = -2", "leaks.accepted.title is -2; expected a whole number, at least 0"),
        ("[leaks]", "[leaks]\nnear = 1.5", "leaks.near is 1.5; expected a finite number, above 0 and at most 1"),
        ("deadline_s = 5", "deadline = 5", "limits: unknown key 'deadline'; did you mean 'deadline_s'"),
        (
            'use = "decode"',
            'use = "decoed"',
            "stage 'decoed': no operation 'decoed'; expected one of deduplicate, download, decode, thumbnail",
        ),
        ('use = "decode"', 'use = "nowhere:X"', "stage 'x': operation 'nowhere:X': no module 'nowhere'"),
        ('use = "decode"', 'use = "tests.curation.poisons:NOT_ONE"', "is not a MapOperation or GlobalOperation"),
        (
            'use = "decode"',
            'use = "decode"\nmin_side = "big"',
            "stage 'decode': min_side is 'big'; expected a whole number, at least 1",
        ),
        ('use = "decode"', "", "stage 1: expected use"),
        ('name = "cut"', 'name = "decode"', "stage 'decode': expected a name of letters.* that no other stage has"),
        ('name = "cut"', 'name = "../x"', r"stage '../x': expected a name of letters"),
        ("minimum = 0.25", "", "stage 'cut': filter: lacks minimum, the cut of all domains"),
        ("live = 0.2", "lives = 0.2", "stage 'cut': domains: unknown key 'lives'; did you mean 'live'"),
        ("[[stage]]", "[stages]", "unknown key 'stages'; did you mean 'stage'"),
        ("[pool]", "stage = { use = 'decode' }\n[pool]", "not readable as TOML"),
        ("[limits]", "[limits]\nbatch_rows = inf", "limits.batch_rows is inf; expected a whole number"),
        ("[leaks]", "[leaks]\nseed = 1.5", "leaks.seed is 1.5; expected a whole number"),
    ],
)
def test_each_mistake_is_a_sentence(old, new, sentence, read):
    assert WHOLE.count(old) >= 1
    with pytest.raises(UsageError, match=sentence):
        read(WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        ("stage = { use = 'decode' }", "stage is {'use': 'decode'}; expected a list, each a table"),
        ("stage = [1]", r"stage\[0\] is 1; expected a table"),
        ("stage = []", "has no stages; expected at least one table"),
        ("", "has no stages; expected at least one table"),
    ],
)
def test_stages_are_tables(stages, sentence, read):
    with pytest.raises(UsageError, match=sentence):
        read(f'{stages}\n[pool]\npath = "raw"')


def test_all_mistakes_are_told_at_once(read):
    with pytest.raises(UsageError) as raised:
        read(WHOLE.replace("minimum", "minimal").replace("shard_rows = 10", "shard_rows = true"))
    assert len(str(raised.value).splitlines()) == 2
    assert all("recipe.toml: " in line for line in str(raised.value).splitlines())


def test_a_recipe_that_is_not_there_or_no_toml_is_refused(read, tmp_path):
    with pytest.raises(UsageError, match="no such file; expected a recipe in TOML"):
        read_recipe(tmp_path / "x.toml")
    with pytest.raises(UsageError, match=r"recipe.toml: not readable as TOML"):
        read("name = ")


@pytest.mark.parametrize(
    ("given", "n_mistakes"),
    [
        ({"minimum": 1}, 0),
        ({"minimum": True}, 1),
        ({"minimum": 0.1, "domains": {"live": "x"}}, 1),
        ({"minimum": 0.1, "domains": [0.1]}, 1),
        ({"minimum": 0.1, "column": 3}, 1),
        ({"Minimum": 0.1}, 1),
    ],
)
def test_options_are_held_against_the_fields_of_a_dataclass(given, n_mistakes):
    assert len(check_options(Filter, given, "here")) == n_mistakes


PATH_OPTIONS = {
    "answers": ("labels", ""),
    "download": ("folder", ""),
    "encode": ("model", 'fit = "crop"'),
    "split": ("freeze_val", "n_validation = 1\nseed = 0"),
}
"""Built-in operation -> its option that is a path, and the other options that it needs."""


def test_every_option_that_is_a_path_is_in_the_table():
    hints = {name: typing.get_type_hints(load_operation(name).options) for name in BUILT_IN}
    found = {(name, option) for name in hints for option, hint in hints[name].items() if "Path" in str(hint)}
    assert found == {(name, option) for name, (option, _) in PATH_OPTIONS.items()}


@pytest.mark.parametrize("use", sorted(PATH_OPTIONS))
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_path_of_a_stage_is_relative_to_the_recipe(use, is_absolute, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    option, others = PATH_OPTIONS[use]
    written = tmp_path / "x" / "there" if is_absolute else Path("x", "there")
    text = f'[pool]\npath = "pool"\n[[stage]]\nuse = "{use}"\n{option} = "{written.as_posix()}"\n{others}\n'
    (tmp_path / "recipe.toml").write_text(text)
    (stage,) = read_recipe(Path("..", "recipe.toml")).stages
    found = getattr(load_operation(use).options(**stage.options), option)
    assert found.resolve() == tmp_path / "x" / "there"


def test_the_paths_of_the_recipe_itself_are_relative_to_it(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = 'work = "w"\nprevious = "p"\n[pool]\npath = "rows"\n[[stage]]\nuse = "decode"\n'
    (tmp_path / "recipe.toml").write_text(text)
    found = read_recipe(Path("..", "recipe.toml"))
    places = [found.work, found.previous, found.pool_path]
    assert [place.resolve() for place in places] == [tmp_path / name for name in ("w", "p", "rows")]
