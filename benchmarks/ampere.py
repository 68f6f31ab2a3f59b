"""AMPere beside COPE on synthetic products whose clips are spoken about: do summaries of the speech help?

    python benchmarks/ampere.py WEIGHTS --work FOLDER [--products 1000] [--seeds 5]

WEIGHTS has the folders that tests/real/README.md makes. Both towers are frozen, so a model is trained in a minute once
they have embedded the samples. The summaries stand in for a language model's: every word of the synthetic vocabulary
that a speaker says, and nothing else. They are the best that a summary could be, and not what a real model writes.

Rows, each with as many training seeds:

* `cope`: the text of a page, the frames of every domain;
* `ampere`: the summaries of clips as well, and the terms that AMPere adds;
* `ampere-speech`: the same model, trained and scored on the speech as it was recognised. Its texts, and so its dataset,
  are others: its results lie beside, and `comparison.json` has the first two.

A run that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import yaml

from cope.embed import load_cope_embedder
from cope.recipe import read_recipe
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
SUMMARISED, SPOKEN = "mini-summaries", "mini-speech"
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
    spoken, summarised = make_datasets(arguments.work, arguments.products)
    runs: dict[str, list[Path]] = {"cope": [], "ampere": []}
    for seed in range(arguments.seeds):
        for row, dataset in (("cope", summarised), ("ampere", summarised), ("ampere-speech", spoken)):
            path = RESULTS / dataset.name / f"{row}-{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                score_one(row, dataset, seed, path, arguments)
            if row in runs:
                runs[row].append(path)
    compared = compare(runs)
    compared.save(RESULTS / summarised.name / "comparison.json")
    print(compared)


def make_datasets(work: Path, n_products: int) -> tuple[Path, Path]:
    """The dataset with the speech, and that with its summaries."""
    spoken, summarised = work / SPOKEN, work / SUMMARISED
    if not (spoken / "rope.json").exists():
        write_release(work / "release", products=n_products, seed=2, progress=False)
        build_dataset(work / "release", spoken, name=SPOKEN, progress=False)
    summarize_dataset(
        spoken,
        summarised,
        VocabularyReader(),
        load_prompt("zh", max_characters=2000),
        cache=work / "answers.sqlite",
        progress=False,
    )
    return spoken, summarised


def score_one(row: str, dataset: Path, seed: int, path: Path, arguments: argparse.Namespace) -> None:
    """Train one model and write its result."""
    out = arguments.work / "runs" / f"{row}-{seed}"
    config = arguments.work / f"{row}-{seed}.yaml"
    config.write_text(yaml.safe_dump(recipe_of(row, seed, arguments.weights)), "utf-8")
    train(dataset, out, read_recipe(str(config)), cache=arguments.work / "towers", progress=False)
    vectors = embed_split(load_cope_embedder(str(out), device="cpu").embed, dataset, "validation", batch_size=64)
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
