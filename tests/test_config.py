"""What a person configures means what it says, or is refused with one sentence that names the place."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from baselines.learn.config import LearnRecipe
from baselines.learn.config import read_recipe as read_learn
from cope.recipe import read_recipe as read_cope
from rope.config import Count, Fraction, Positive, Seed, check_record, check_value, make_record, value_of_text
from rope.curation.pipeline.recipe import read_recipe as read_curation
from rope.documents import parse_document, read_document
from rope.errors import UsageError


@dataclass(frozen=True)
class Inner:
    weight: Fraction = 0.5


@dataclass(frozen=True)
class Outer:
    seed: Seed
    masked: bool = False
    limit: Positive | None = None
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    counts: list[Count] = field(default_factory=list)
    cuts: dict[str, Fraction] = field(default_factory=dict)
    by_kind: dict[Literal["a", "b"], Count] = field(default_factory=dict)
    folder: Path = Path()
    inner: Inner = field(default_factory=Inner)
    free: Any = None

    def __post_init__(self) -> None:
        check_record(self)


def test_values_are_taken_as_the_fields_want_them():
    given = {
        "seed": 3,
        "limit": 2,
        "names": ["x"],
        "cuts": {"y": 1},
        "folder": "z",
        "inner": {"weight": 0},
        "free": [1],
    }
    made = make_record(Outer, given, "here")
    assert made == Outer(3, limit=2.0, names=("x",), cuts={"y": 1.0}, folder=Path("z"), inner=Inner(0.0), free=[1])
    assert type(made.limit) is float
    assert make_record(Outer, {"seed": 0, "limit": None}, "here").limit is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "lacks 'seed'; expected a whole number, at least 0 and below 18446744073709551616"),
        ({"seed": 0.5}, "seed is 0.5; expected a whole number"),
        ({"seed": 1.0}, "seed is 1.0; expected a whole number"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"seed": "0"}, "seed is '0'; expected a whole number"),
        ({"seed": -1}, "seed is -1; expected a whole number, at least 0"),
        ({"seed": 2**64}, "seed is 18446744073709551616; expected a whole number, at least 0 and below"),
        ({"masked": "no"}, "masked is 'no'; expected true or false"),
        ({"masked": 0}, "masked is 0; expected true or false"),
        ({"limit": float("nan")}, "limit is nan; expected a finite number, above 0, or null"),
        ({"limit": float("inf")}, "limit is inf; expected a finite number"),
        ({"limit": 10**400}, "limit is 1000.*…; expected a finite number"),
        ({"limit": False}, "limit is False; expected a finite number"),
        ({"kind": "c"}, "kind is 'c'; expected one of a, b"),
        ({"names": "x"}, "names is 'x'; expected a list, each a text"),
        ({"names": ["x", 3]}, r"names\[1\] is 3; expected a text"),
        ({"counts": [1, 0]}, r"counts\[1\] is 0; expected a whole number, at least 1"),
        ({"cuts": {"y": 2}}, "cuts.y is 2; expected a finite number, from 0 to 1"),
        ({"cuts": {1: 0.5}}, "cuts: the key 1 is not a text"),
        ({"cuts": [1]}, r"cuts is \[1\]; expected a table, each value a finite number, from 0 to 1"),
        ({"by_kind": {"aa": 1}}, "by_kind: unknown key 'aa'; did you mean 'a'"),
        ({"inner": {"wieght": 1}}, "inner: unknown key 'wieght'; did you mean 'weight'"),
        ({"inner": 3}, "inner is 3; expected some of the keys weight"),
        ({"inner": {"weight": 1.5}}, "inner.weight is 1.5; expected a finite number, from 0 to 1"),
        ({"colour": 1}, "unknown key 'colour'; expected some of seed, masked"),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_its_place(given, sentence):
    with pytest.raises(UsageError, match=f"^here: {sentence}"):
        make_record(Outer, given if not given or "seed" in given else {"seed": 0, **given}, "here")


@pytest.mark.parametrize(
    "changes",
    [{"seed": 0.5}, {"masked": "no"}, {"limit": float("nan")}, {"names": "ab"}, {"cuts": {"y": 2.0}}, {"inner": 3}],
)
def test_a_record_made_in_python_follows_the_same_rules(changes):
    with pytest.raises(UsageError, match=next(iter(changes))):
        Outer(**{"seed": 0, **changes})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(UsageError) as raised:
        make_record(Outer, {"masked": 1, "colour": 1, "inner": {"weight": "x"}}, "here")
    assert [line.split("; ")[0] for line in str(raised.value).splitlines()] == [
        "here: unknown key 'colour'",
        "here: lacks 'seed'",
        "here: masked is 1",
        "here: inner.weight is 'x'",
    ]


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (Count, "8", 8),
        (Positive | None, "1e-4", 1e-4),
        (bool, "true", True),
        (tuple[str, ...], "page,live", ("page", "live")),
        (list[Count], "1,5", [1, 5]),
        (str, "1", "1"),
    ],
)
def test_a_text_stands_for_a_value(hint, text, value):
    assert value_of_text(hint, text, "option") == value


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        *((Count, text) for text in ("1.5", "1_0", " 1", "٣", "0", "")),
        *((Positive, text) for text in ("nan", "1e999", "0", "1,5")),
        *((bool, text) for text in ("yes", "True", "1")),
        (list[Count], "1,x"),
        (Literal["a"], "b"),
    ],
)
def test_a_text_that_stands_for_no_value_is_refused(hint, text):
    with pytest.raises(UsageError, match=r"^option(\[1\])? is .*; expected "):
        value_of_text(hint, text, "option")


def test_an_argument_may_be_a_scalar_of_numpy_but_no_truth_value():
    import numpy as np

    assert type(check_value(Seed, np.int64(3), "seed")) is int
    for wrong in (np.bool_(True), np.float32(0.5), True, "3", -1, None):
        with pytest.raises(UsageError, match=r"^seed is "):
            check_value(Seed, wrong, "seed")


# -- files ------------------------------------------------------------------------------------------------------------

_WRONG_FILES = [
    ("YAML", b"a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
    ("YAML", b"m: {x: 1, x: 2}", "line 1: the key 'x' is given twice"),
    ("TOML", b"a = 1\na = 2", "Cannot overwrite a value"),
    ("JSON", b'{"a": {"b": 1, "b": 2}}', "the key 'b' is given twice"),
    ("YAML", b"- 1", "expected keys with values at the top, got a list"),
    ("YAML", b"# nothing", "expected keys with values at the top, got nothing"),
    ("YAML", b"a: 1\n---\nb: 2", "line 2: expected a single document in the stream, but found another"),
    ("YAML", b"a: !!python/name:os.system x", "not readable as YAML: line 1: could not determine a constructor"),
    ("JSON", b"3", "expected keys with values at the top, got a number"),
    ("JSON", b"null", "expected keys with values at the top, got nothing"),
    ("JSON", b"", "is empty; expected a recipe in JSON"),
    ("TOML", b" \n", "is empty; expected a recipe in TOML"),
    ("TOML", b"a = ", "not readable as TOML"),
    ("TOML", "a = 1".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ("YAML", b"a: \xff", "not readable as YAML: 'utf-8' codec can't decode"),
    ("TOML", b"PK\x03\x04", "not readable as TOML; it is a ZIP archive"),
]


@pytest.mark.parametrize(("syntax", "content", "sentence"), _WRONG_FILES)
def test_a_file_that_is_anything_else_is_one_sentence(syntax, content, sentence, tmp_path):
    path = tmp_path / "recipe"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"recipe: {sentence}|recipe: not readable as {syntax}: {sentence}") as raised:
        read_document(path, syntax, "a recipe")
    assert "\n" not in str(raised.value)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="is a folder; expected a recipe in TOML"):
        read_document(tmp_path, "TOML", "a recipe")
    with pytest.raises(UsageError, match="no such file; expected a recipe in TOML"):
        read_document(tmp_path / "x", "TOML", "a recipe")


@pytest.mark.parametrize(("syntax", "text"), [("TOML", "a = 1\r\n"), ("YAML", "a: 1\r\n"), ("JSON", '{"a": 1}\r\n')])
def test_a_byte_order_mark_and_the_line_ends_of_windows_change_nothing(syntax, text, tmp_path):
    (tmp_path / "r").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_document(tmp_path / "r", syntax, "a recipe") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5.0e-05", 5e-5),
        ("1.", 1.0),
        ("3", 3),
        ("-0.5", -0.5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'3'", "3"),
    ],
)
def test_yaml_means_what_a_reader_sees(text, value):
    found = parse_document(f"a: {text}", "YAML", "here")["a"]
    assert (found, type(found)) == (value, type(value))


def test_yaml_may_repeat_itself_by_name():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {deep: &c {<<: *a, x: 4}}\nd: {<<: *c}"
    found = parse_document(text, "YAML", "here")
    assert (found["b"], found["d"]) == ({"x": 1, "y": 3}, {"x": 4, "y": 2})


# -- every reader -----------------------------------------------------------------------------------------------------

TOML = 'name = "x"\n[pool]\npath = "p"\n{pool}\n[[stage]]\nuse = "filter"\nminimum = 0.5\n{stage}'


def curation(tmp_path, pool="", stage=""):
    (tmp_path / "r.toml").write_text(TOML.format(pool=pool, stage=stage))
    return read_curation(tmp_path / "r.toml")


def cope(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    return read_cope(str(tmp_path / "r.yaml"))


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (lambda _: read_learn('{"seed": 0, "mask_history": "no"}', "r.json"), "mask_history is 'no'; expected true or"),
        (lambda _: read_learn('{"seed": 0.5}', "r.json"), "seed is 0.5; expected a whole number"),
        (lambda _: read_learn('{"seed": 0, "scale": NaN}', "r.json"), "scale is nan; expected a finite number"),
        (lambda _: read_learn('{"seed": 0, "seed": 1}', "r.json"), "the key 'seed' is given twice"),
        (lambda _: LearnRecipe(seed=0, mask_history="no"), "mask_history is 'no'; expected true or false"),
        (lambda tmp: cope(tmp, "use_text: no"), "use_text is 'no'; expected true or false"),
        (lambda tmp: cope(tmp, "seed: 0.5"), "seed is 0.5; expected a whole number"),
        (lambda tmp: cope(tmp, "lr_text: .nan"), "lr_text is nan; expected a finite number"),
        (lambda tmp: cope(tmp, "loss: {margin: 0.1, margin: 0.2}"), "the key 'margin' is given twice"),
        (lambda tmp: cope(tmp, "base: [tiny]"), r"base is \['tiny'\]; expected the name of a preset"),
        (lambda tmp: curation(tmp, pool="shard_rows = 1.5"), "pool.shard_rows is 1.5; expected a whole number"),
        (lambda tmp: curation(tmp, pool="shard_rows = 1\nshard_rows = 2"), "not readable as TOML"),
        (lambda tmp: curation(tmp, stage="domains = { live = nan }"), "domains.live is nan; expected a finite number"),
        (lambda tmp: curation(tmp, stage="column = 3"), "column is 3; expected a text"),
        (lambda tmp: curation(tmp, stage='[[stage]]\nuse = "sample"\nseed = 0.5\ncount = 1'), "seed is 0.5; expected"),
    ],
)
def test_every_recipe_follows_the_rules(read, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path)


def test_options_of_a_stage_stay_as_they_are_written_so_that_its_shards_keep_their_names(tmp_path):
    recipe = curation(tmp_path, stage="domains = { live = 1 }")
    assert repr(recipe.stages[0].options) == "{'minimum': 0.5, 'domains': {'live': 1}}"
