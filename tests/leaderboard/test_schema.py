import json
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from leaderboard.card import card_of, read_card
from leaderboard.schema import check, migrate, parse_json, read_json
from rope.errors import RopeError
from tests.leaderboard.conftest import card


@pytest.mark.parametrize("name", ["card", "entry"])
def test_the_schemas_are_schemas(name):
    text = (files("leaderboard") / "schemas" / f"{name}.schema.json").read_text("utf-8")
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": Infinity}', "Infinity is not a number"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ("[1]", "expected an object"),
        ("[" * 100_000, "not strict JSON"),
        ("{", "not strict JSON"),
    ],
)
def test_json_is_read_strictly(text, reason):
    with pytest.raises(RopeError, match=reason):
        parse_json(text, "x.json")


def test_a_large_file_is_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(RopeError, match="expected 4,194,304 at most"):
        read_json(tmp_path / "a.json")


def test_an_older_entry_is_brought_to_this_version():
    old = {"schema_version": 0, "title": "x"}
    step = {n: lambda raw: raw | {"schema_version": raw["schema_version"] + 1, "name": raw["title"]} for n in range(2)}
    assert migrate(old, "x.json", step) == {"schema_version": 2, "title": "x", "name": "x"}


def test_a_row_of_version_1_is_one_of_whole_vectors_whose_change_was_by_float16():
    old = {"schema_version": 1, "float16_change": 0.001, "source": None}
    new = {"schema_version": 2, "rounding_change": 0.001, "source": None, "cut_from": None}
    assert migrate(old, "x.json") == new


@pytest.mark.parametrize("version", [3, 0, None, "1", True])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(RopeError, match=r"x.json: schema_version .*, expected 2"):
        migrate({"schema_version": version}, "x.json")


@pytest.mark.parametrize("name", ["CLIP (ViT-B-32)", "中文 CLIP", "baselines:handcrafted", "A+B_c@2.0"])
def test_ordinary_names_are_names(name):
    assert card_of(card("a", name=name), "card").name == name


@pytest.mark.parametrize("id", ["a/b", "..", "A", "-a", "a..b", "a b", "", "a\n", "x" * 65])
def test_an_id_is_fit_for_a_folder(id):  # noqa: A002
    with pytest.raises(RopeError):
        check(card(id), "card", "card")


def test_the_cards_of_the_baselines_are_cards():
    paths = list((Path(__file__).parents[2] / "leaderboard" / "cards").glob("*.yaml"))
    assert [card_of(read_card(path), str(path)).id for path in paths] == [path.stem for path in paths]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1e400}', "beyond 2"),
        ('{"a": 9007199254740993}', "beyond 2"),
        ('{"a": ' + "9" * 5000 + "}", "beyond 2"),
        ('{"a": ' + "[" * 12 + "]" * 12 + "}", "nested objects or lists"),
    ],
)
def test_json_holds_no_number_and_no_nesting_that_a_check_would_trip_over(text, reason):
    with pytest.raises(RopeError, match=reason):
        parse_json(text, "x.json")
    assert parse_json('{"a": [9007199254740992, -1e15, [[{}]]]}', "x.json")


def test_modalities_are_listed_in_order():
    assert card_of(card("a"), "card").all_modalities == ("image", "text")
