"""How often a cut, and the precision of a published dataset, keep their 95 % where people err.

    python benchmarks/curation_answers.py [--simulations 400] [--seed 0] [--only cuts|clusters|precision]

Prints the tables of docs/curation-annotation.md. Items are matches with a known probability, those of one product alike
as far as `icc` says. Two scripted people answer, some items both of them, and open items are asked again of others.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from rope.curation.annotation.batches import AnnotationTask, TaskBatch
from rope.curation.annotation.items import Item
from rope.curation.annotation.labels import label_table
from rope.curation.filtering.threshold import choose_cut
from tests.curation.annotation.test_precision import audit
from tests.curation.people import Person, ask, ask_again, draw_sizes, truths

N_ITEMS = 400
ASKED = 0.9
SKILLS = {"97 % right": (0.97, 0.97), "90 % right": (0.9, 0.9), "97 % / 85 %": (0.97, 0.85), "97 % / 70 %": (0.97, 0.7)}
"""Share of the matches, and of the others, that people recognise."""
DESIGNS = {"10 % twice": (0.1, 0), "10 % twice, open again": (0.1, 2), "all twice, open again": (1.0, 2)}
AUDITS = (
    (0.8, 150, "97 % / 85 %", 3, 0.3),
    (0.8, 400, "90 % right", 2, 0.2),
    (0.9, 300, "97 % / 85 %", 3, 0.3),
    (0.9, 800, "97 % right", 4, 0.5),
    (0.95, 150, "90 % right", 3, 0.3),
    (0.95, 300, "97 % right", 3, 0.3),
    (0.95, 400, "97 % right", 1, 0.0),
    (0.97, 400, "97 % / 70 %", 3, 0.3),
    (0.99, 150, "97 % right", 1, 0.0),
    (0.99, 800, "97 % / 85 %", 3, 0.3),
    (0.995, 400, "97 % right", 1, 0.0),
)
"""True precision, samples, people, mean number of clips of a product, and how alike they are."""
PRECISIONS = (0.88, 0.9, 0.95, 0.97)


def labels_of(rng, truth, skill, overlap, rounds):
    """Labels of some items, as `label_table` makes them."""
    people = [Person(name, *skill) for name in ("ann", "bob", "cat", "dan")]
    items = [Item(item_id=name, question="same_product", texts={"page": "x"}) for name in truth]
    batch = TaskBatch(
        "b", "same_product", tuple(AnnotationTask(item, 1 + int(rng.random() < overlap)) for item in items)
    )
    answers = ask(rng, batch, truth, people[:2])
    for _ in range(rounds):
        labels = label_table([batch], answers).to_pylist()
        answers += ask_again(rng, batch, truth, people, answers, labels)
    return label_table([batch], answers).to_pylist()


def cut_given(labels, **changes):
    """Whether a cut is given, of items of one score."""
    match = [one["label"] == "same" for one in labels]
    sure = [one["probability"] if hit else 1.0 for one, hit in zip(labels, match, strict=True)]
    options = {"precision": ASKED, "trust": [1.0 if p is None else p for p in sure]} | changes
    return choose_cut([0.3] * len(match), match, **options).cut is not None


def cuts(simulations, seed):
    table = Table(
        "people", "asked", *(f"{p:.0%}" for p in PRECISIONS), title="cut given, % (true labels; open left out; now)"
    )
    for skill, rates in SKILLS.items():
        for design, (overlap, rounds) in DESIGNS.items():
            cells = []
            for precision in track(PRECISIONS, f"{skill}, {design}", transient=True):
                found = np.zeros(3)
                for i in range(simulations):
                    rng = np.random.default_rng([seed, i])
                    truth = {f"p{k}|v{k}": said for k, (said,) in enumerate(truths(rng, [1] * N_ITEMS, precision))}
                    labels = labels_of(rng, truth, rates, overlap, rounds)
                    known = [{"label": said, "probability": None} for said in truth.values()]
                    sure = [one for one in labels if one["label"] is not None]
                    found += cut_given(known), cut_given(sure, trust=None), cut_given(labels)
                cells.append(" / ".join(f"{share:.1f}" for share in 100 * found / simulations))
            table.add_row(skill, design, *cells)
    return table


def clusters(simulations, seed):
    settings = [
        (n, asked, precision) for n in (100, 400, 1500) for asked, precision in ((0.9, 0.9), (0.9, 0.95), (0.95, 0.95))
    ]
    heads = (f"{n}: {precision:.0%} of {asked:.0%}" for n, asked, precision in settings)
    table = Table("clips a hint", "icc", *heads, title="cut given, % (as independent; as clusters)")
    for mean in (2, 4):
        for icc in (0.0, 0.2, 0.5):
            cells = []
            for n, asked, precision in settings:
                found = np.zeros(2)
                for i in range(simulations):
                    rng = np.random.default_rng([seed, i])
                    said = truths(rng, draw_sizes(rng, n, mean), precision, icc)
                    match = [one == "same" for cluster in said for one in cluster]
                    names = [str(k) for k, cluster in enumerate(said) for _ in cluster]
                    for k, cluster in enumerate((None, names)):
                        found[k] += choose_cut([0.3] * n, match, precision=asked, cluster=cluster).cut is not None
                cells.append(" / ".join(f"{share:.1f}" for share in 100 * found / simulations))
            table.add_row(str(mean), f"{icc:g}", *cells)
    return table


def precision(simulations, seed):
    table = Table("truth", "samples", "people", "clips a product", "icc", "held, %", "too low", "too high", "mean")
    for truth, n, skill, mean, icc in AUDITS:
        found = [audit(seed + i, n, truth, SKILLS[skill], mean, icc) for i in range(simulations)]
        held = sum(one.low <= truth <= one.high for one in found) / simulations
        low, high = sum(one.high < truth for one in found), sum(one.low > truth for one in found)
        average = sum(one.value for one in found) / simulations
        cells = (
            f"{truth:.1%}",
            f"{n}",
            skill,
            f"{mean}",
            f"{icc:g}",
            f"{held:.1%}",
            f"{low}",
            f"{high}",
            f"{average:.2%}",
        )
        table.add_row(*cells)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["cuts", "clusters", "precision"])
    arguments = parser.parse_args()
    for name, make in (("cuts", cuts), ("clusters", clusters), ("precision", precision)):
        if arguments.only in (None, name):
            Console(width=240).print(make(arguments.simulations, arguments.seed))


if __name__ == "__main__":
    main()
