"""What a submission's texts may be, and what its YAML means."""

from pathlib import Path

import pytest
import yaml

from leaderboard.card import card_of, read_card
from leaderboard.strict_yaml import parse_yaml
from leaderboard.text import printable, skeleton, text_problem
from rope.errors import RopeError
from tests.leaderboard.conftest import card

HIDDEN = {
    "right to left override": "\u202e",
    "isolate": "\u2067",
    "right to left mark": "\u200f",
    "Arabic letter": "\u0627",
    "Hebrew letter": "\u05d0",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "Hangul filler": "\u3164",
    "Braille blank": "\u2800",
    "variation selector": "\ufe0f",
    "tag letter": "\U000e0041",
    "no-break space": "\u00a0",
    "ideographic space": "\u3000",
    "line separator": "\u2028",
    "next line": "\u0085",
    "escape": "\x1b",
    "bell": "\x07",
    "private": "\ue000",
    "surrogate": "\ud800",
    "unassigned": "\U000e0fff",
    "three accents": "a\u0300\u0301\u0302",
    "decomposed": "e\u0301",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("field", ["name", "version", "licence", "contact", "command", "training_data"])
def test_no_field_hides_or_reorders_anything(field, hidden):
    text = f"a{hidden}b"
    with pytest.raises(RopeError, match=r"card(: \$|: not what)"):
        card_of(card("a", **{field: [text] if field == "training_data" else text}), "card")


@pytest.mark.parametrize("text", ["中文 CLIP", "Modèle é, ñ", "ViT-B/32 @ 224", "数据集；训练", "Ωmega", "emoji 🙂"])
def test_ordinary_texts_are_texts(text):
    assert text_problem(text) is None


@pytest.mark.parametrize(
    "name",
    [
        "СОРЕ",
        "COPE\u0301",
        "ＣＯＰＥ",
        "𝐂𝐎𝐏𝐄",
        "Ⲥope",
        "COPΕ",
        "c⁠ope",
        "ⅭOPE",
        "ᏟOPE",
        "COPE™",
        " COPE",
        "",
        "-a",
        "a\n",
    ],
    ids=ascii,
)
def test_a_name_has_only_letters_that_look_like_no_other(name):
    with pytest.raises(RopeError, match=r"name: .* is not letters from A to Z"):
        card_of(card("a", name=name), "card")


@pytest.mark.parametrize("command", ["pip install rоpe", "rope\u2010bench run", "a | b \u2013c", "echo “x”", "a\tb"])
def test_a_command_is_printable_ascii(command):
    with pytest.raises(RopeError, match="printable ASCII"):
        card_of(card("a", command=command), "card")


@pytest.mark.parametrize("name", ["con", "nul", "aux", "prn", "com1", "lpt9", "con.v2", "aux.b.c", "index"])
def test_an_id_is_no_device_of_windows(name):
    with pytest.raises(RopeError, match="names that Windows keeps"):
        card_of(card(name), "card")


@pytest.mark.parametrize("name", ["console", "com10", "lpt", "auxiliary.v1", "cope", "a.con"])
def test_an_id_that_only_begins_like_a_device_is_an_id(name):
    assert card_of(card(name), "card").id == name


@pytest.mark.parametrize("other", ["cope", "C0PE", "CO-PE", "co pe", "C_O_P_E", "ＣＯＰＥ", "Cope "])
def test_names_that_read_alike_have_one_skeleton(other):
    assert skeleton(other) == skeleton("COPE")


@pytest.mark.parametrize(("one", "other"), [("Modern", "Modem"), ("CLIP I", "CLIP l"), ("vvit", "wit"), ("v10", "vlO")])
def test_letters_that_look_alike_have_one_skeleton(one, other):
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("COPE", "COPE+"), ("CLIP 1.1", "CLIP 11"), ("ViT-B", "ViT-L"), ("a", "b")])
def test_names_that_differ_to_the_eye_have_two(one, other):
    assert skeleton(one) != skeleton(other)


def test_a_log_gets_one_line_whatever_a_file_is_called():
    assert printable("a\n::error::b\x1b[31m\u202e") == "a\\n::error::b\\x1b[31m\\u202e"


# YAML


@pytest.fixture
def read(tmp_path):
    """Reads a card with some lines replaced or added, as it would lie on disk."""

    def go(text: str = "", **lines: str):
        plain = yaml.safe_dump(card("a"), allow_unicode=True, sort_keys=False).splitlines()
        kept = [line for line in plain if line.partition(":")[0] not in lines]
        path = Path(tmp_path / "card.yaml")
        path.write_text("\n".join([*kept, *(f"{key}: {value}" for key, value in lines.items()), text]), "utf-8")
        return read_card(path)

    return go


@pytest.mark.parametrize(
    "value", ["no", "on", "Yes", "1.10", "1e3", "2024-01-01", "0151", "1:30", "0x1F", ".inf", "12"]
)
def test_a_plain_value_is_the_text_that_stands_there(read, value):
    assert read(version=value)["version"] == value


@pytest.mark.parametrize("value", ["0151", "1_000", "1:30", "0x1F", "1e9", "1.0", "yes", "-1", "+5", "9" * 17])
def test_parameters_are_digits_and_nothing_that_becomes_another_number(read, value):
    with pytest.raises(RopeError, match="parameters"):
        read(parameters=value)


def test_parameters_and_null_are_read(read):
    assert (read(parameters="151277313")["parameters"], read(parameters="null")["parameters"]) == (151277313, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: other", "the key 'name' is given twice"),
        ("x: {a: 1, a: 2}", "the key 'a' is given twice"),
        ("x: &a b", "uses an alias"),
        ("x: *a", "uses an alias"),
        ("x: !!python/object/apply:os.system ['true']", "uses the tag"),
        ("x: !!set {a, b}", "uses the tag"),
        ("x: !!int '1'", "uses the tag"),
        ("? [a]\n: b", "a key is not a text"),
        ("---\nid: b", "more than one document"),
        ("x: " + "[" * 30_000, "deep"),
        ("x: " + "[{a: " * 10_000, "deep"),
        ("x: " + "- " * 20_000, "not YAML"),
        ("x: '\x00'", "not YAML"),
    ],
)
def test_yaml_that_could_mean_something_else_is_refused(read, text, reason):
    with pytest.raises(RopeError, match=reason):
        read(text)


@pytest.mark.parametrize("text", ["", "~", "# nothing", "text", "- a"])
def test_a_card_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "card.yaml").write_text(text, "utf-8")
    with pytest.raises(RopeError, match="expected a mapping at the top"):
        read_card(tmp_path / "card.yaml")


def test_aliases_that_would_fill_the_memory_are_not_followed():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(9 * ['*' + old])}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(RopeError, match=r"x:1: uses an alias"):
        parse_yaml("\n".join(lines), "x")
