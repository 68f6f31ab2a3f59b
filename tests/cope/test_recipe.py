import pytest

from cope.recipe import PRESETS, TrainingRecipe, preset_purpose, read_recipe, recipe_text
from rope.errors import UsageError


def write(path, text):
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_read_back_from_what_is_printed(name, tmp_path):
    recipe = read_recipe(name)
    assert read_recipe(write(tmp_path / "r.yaml", recipe_text(recipe))) == recipe
    assert preset_purpose(name).endswith(".")


def test_the_paper_is_the_default():
    assert read_recipe("paper") == TrainingRecipe()
    recipe = TrainingRecipe()
    assert (recipe.epochs, recipe.batch_size, recipe.warmup_epochs, recipe.model.num_frames) == (80, 84, 2, 8)
    assert (recipe.lr_text, recipe.lr_vision, recipe.lr_head) == (5e-5, 5e-7, 5e-3)
    assert (recipe.loss.scale, recipe.loss.margin, recipe.model.text_layers) == (64, 0.4, 3)


def test_an_ablation_differs_from_its_base_in_one_thing():
    for base in ("paper", "tiny"):
        whole, without = read_recipe(base), read_recipe(f"{base}_no_contrastive")
        assert not any(getattr(without.loss.weights, name) for name in without.loss.weights.__slots__)
        assert without.model == whole.model
        assert without.loss.classification_weight == whole.loss.classification_weight


def test_tiny_reads_no_titles_but_where_they_are_asked_for():
    reads = {name: read_recipe(name).use_text for name in PRESETS if name.startswith("tiny")}
    assert {name for name, does in reads.items() if does} == {"tiny_ampere", "tiny_text"}


def test_a_file_says_what_differs_from_a_base_beside_it(tmp_path):
    write(tmp_path / "base.yaml", "base: tiny\nepochs: 7\nmodel:\n  num_frames: 2\n")
    recipe = read_recipe(write(tmp_path / "mine.yaml", "base: base.yaml\nlr_text: 1e-4\nmodel:\n  embedding_dim: 16\n"))
    assert (recipe.epochs, recipe.lr_text, recipe.model.num_frames, recipe.model.embedding_dim) == (7, 1e-4, 2, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("model:\n  frames: 3", "model: unknown key 'frames'; did you mean 'num_frames'"),
        ("epochs: many", "epochs is 'many'; expected a whole number, at least 1"),
        ("epochs: 0", "epochs is 0; expected a whole number, at least 1"),
        ("lr_text: fast", "lr_text is 'fast'; expected a finite number, at least 0"),
        ("use_text: 1", "use_text is 1; expected true or false"),
        ("sampling: random", "sampling is 'random'; expected one of balanced, proportional, category_balanced"),
        ("model: tiny", "model is 'tiny'; expected some of the keys embedding_dim"),
        ("loss:\n  logit_adjustment: 1", "visited more often than others, but sampling is balanced"),
        ("loss:\n  class_balance: 0.9", "visited more often than others, but sampling is balanced"),
        ("- 3", "expected keys with values at the top, got a list"),
        ("a: [", "not readable as YAML"),
        ("[" * 30_000, "not readable as YAML: maximum recursion"),
        ("base: nowhere", "nowhere: neither a file nor a preset; presets are ampere, h200"),
        ("base: r.yaml", "is based on itself"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(text, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        read_recipe(write(tmp_path / "r.yaml", text))
