"""AMPere beside COPE on synthetic products whose clips are spoken about: do summaries of the speech help?

    python benchmarks/ampere.py WEIGHTS --work FOLDER [--products 1000] [--seeds 5]

WEIGHTS has the folders that tests/real/README.md makes. Both towers are frozen, so a model is trained in a minute once
they have embedded the samples. The summaries stand in for a language model's: every word of the synthetic vocabulary
that a speaker says, and nothing else. They are the best that a summary could be, and not what a real model writes.

Rows, each with as many training seeds:

* `cope`: the text of a page, the frames of every domain;
* `ampere`: the summaries of clips as well, and the terms that AMPere adds.

A run that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import yaml

from cope.beginning import make_model
from cope.embed import CopeEmbedder
from cope.model import Cope
from cope.recipe import read_recipe
from cope.tower_cache import make_tower_cache
from cope.train import train
from rope.asr.answers import ChatAnswer, Reader, UnansweredChat
from rope.asr.prompt import Message, load_prompt
from rope.asr.summarize import summarize_dataset
from rope.bench import compare, evaluate
from rope.bench.training import embed_split
from rope.dataset.build import build_dataset
from rope.synthetic.release import write_release
from rope.synthetic.vocabulary import AUDIENCES, BRANDS, CATEGORIES, COLOUR_WORDS, PATTERN_WORDS

RESULTS = Path(__file__).parent / "results"
NAME = "mini-summaries"
WORDS = sorted(
    {
        *chain.from_iterable((*category.words, *category.attributes) for category in CATEGORIES),
        *chain.from_iterable((brand.latin, brand.chinese) for brand in BRANDS),
        *chain.from_iterable((*COLOUR_WORDS.values(), *PATTERN_WORDS.values())),
        *AUDIENCES,
    },
    key=lambda word: (-len(word), word),
)


class VocabularyReader:
    """Answers with the words of the synthetic vocabulary in the last message, each once, in the order of the speech."""

    name = "synthetic-vocabulary"

    def answer(self, conversations: Sequence[Sequence[Message]], keep: Reader) -> list[UnansweredChat]:
        for place, conversation in enumerate(conversations):
            keep(place, ChatAnswer(" ".join(said(conversation[-1]["content"])) or "无"))
        return []


def said(text: str) -> list[str]:
    """The words that a text has, the longest where several begin at one place."""
    found, at = {}, 0
    while at < len(text):
        word = next((word for word in WORDS if text.startswith(word, at)), None)
        if word is not None:
            found[word] = None
        at += len(word or " ")
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    dataset = make_dataset(arguments.work, arguments.products)
    (RESULTS / NAME).mkdir(parents=True, exist_ok=True)
    runs = {
        row: [RESULTS / NAME / f"{row}-{seed}.json" for seed in range(arguments.seeds)] for row in ("cope", "ampere")
    }
    for seed in range(arguments.seeds):
        for row, paths in runs.items():
            if not paths[seed].exists():
                score_one(row, dataset, seed, paths[seed], arguments)
    compared = compare(runs)
    compared.save(RESULTS / NAME / "comparison.json")
    print(compared)


def make_dataset(work: Path, n_products: int) -> Path:
    """The dataset whose clips have summaries of what is said in them."""
    spoken, summarised = work / "mini-speech", work / NAME
    if not (spoken / "rope.json").exists():
        write_release(work / "release", products=n_products, seed=2, progress=False)
        build_dataset(work / "release", spoken, name=spoken.name, progress=False)
    summarize_dataset(
        spoken,
        summarised,
        VocabularyReader(),
        load_prompt("zh", max_characters=2000),
        cache=work / "answers.sqlite",
        progress=False,
    )
    return summarised


def score_one(row: str, dataset: Path, seed: int, path: Path, arguments: argparse.Namespace) -> None:
    """Train one model and write its result."""
    out = arguments.work / "runs" / f"{row}-{seed}"
    config = arguments.work / f"{row}-{seed}.yaml"
    config.write_text(yaml.safe_dump(recipe_of(row, seed, arguments.weights)), "utf-8")
    recipe = read_recipe(str(config))
    train(dataset, out, recipe, cache=arguments.work / "towers", progress=False)
    model, tokenizer = make_model(dataset, recipe)  # as in training, so that its towers are those of the cache
    model.load_state_dict(Cope.from_pretrained(str(out)).state_dict())
    towers = make_tower_cache(arguments.work / "towers", dataset, model, tokenizer, augments=False)
    embedder = CopeEmbedder(model.eval(), tokenizer, row, cache=towers)
    vectors = embed_split(embedder.embed, dataset, "validation", batch_size=64)
    evaluate(vectors, dataset, name=row, training_seed=seed).save(path)


def recipe_of(row: str, seed: int, weights: Path) -> dict[str, object]:
    """Both rows have the towers and rates of `small_real`; AMPere's terms are those of the preset `tiny_ampere`."""
    model: dict[str, object] = {
        "num_frames": 2,
        "text_domains": ["page"] if row == "cope" else ["page", "video", "live"],
        "vision": {"backbone": str((weights / "mobilenet_v2").resolve()), "frames": "mean"},
        "text": {"backbone": str((weights / "multilingual_e5_small").resolve()), "prefix": "query: "},
    }
    recipe: dict[str, object] = {"base": "small_real", "seed": seed, "model": model, "batch_size": 140}
    if row != "cope":
        terms = yaml.safe_load(Path("cope/presets/tiny_ampere.yaml").read_text("utf-8"))["loss"]
        recipe["loss"] = terms
    return recipe


if __name__ == "__main__":
    main()
