"""docs/results.md, from the result files in benchmarks/results and the reported rows of the leaderboard.

    python benchmarks/results_page.py [--check]

A folder is a dataset: files that `score --json` wrote, one for each model and training seed, and `comparison.json` of
`compare --json` where models were compared. `--check` writes nothing, and fails where the page is not what it would be.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
CROSS = ("P2V", "V2P", "P2L", "L2P", "V2L", "L2V")

INTRODUCTION = """# Results

Every model on every dataset that could be scored here: R@1 in % ([protocol](protocol.md)), with 95 % intervals over
products, and over training seeds too where there are several ([statistics](statistics.md)).

`python benchmarks/results_page.py` writes this page from the result files in `benchmarks/results`; a test holds the two
together. Each section says what its data are: *synthetic* pictures say nothing about real products; *open* data can be
fetched by anyone; *reported* figures were published by others and not measured here. No licensed data have been scored.
"""

REPORTED = """## ROPE, reported

Published with the dataset, R@1 in % ([source]({paper})). The authors did not publish their queries and galleries, so
these figures may not be comparable with those of this benchmark, and there is no interval.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    page = render()
    if not parser.parse_args().check:
        PAGE.write_text(page, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page:
        sys.exit("docs/results.md is not of these result files; run python benchmarks/results_page.py")


def render() -> str:
    """The page."""
    told = tomllib.loads((RESULTS / "sets.toml").read_text("utf-8"))
    sections = [section(name, told[name], told["rows"]) for name in told if (RESULTS / name).is_dir()]
    return "\n".join([INTRODUCTION, *sections, reported()])


def section(name: str, told: dict[str, str], rows: dict[str, str]) -> str:
    """One dataset: what it is, how to score on it, a row for each model, and what was compared."""
    groups = results_of(RESULTS / name)
    compared = RESULTS / name / "comparison.json"
    comparison = json.loads(compared.read_text("utf-8")) if compared.exists() else None
    dataset = next(iter(groups.values()))[0]["dataset"]
    lines = [
        f"## {told['title']}", "",
        f"*{told['kind'].capitalize()}*, fingerprint `{dataset['fingerprint'][:12]}`.", "", told["about"].strip(), "",
        "```sh", told["commands"].strip(), "```", "",
        f"| model | what | {' | '.join(CROSS)} | mean, 95 % interval | runs | dimensions |",
        "|---|---|" + "---|" * (len(CROSS) + 3),
    ]  # fmt: skip
    lines += sorted(table_rows(groups, comparison, rows), key=lambda row: -float(row.split("|")[9].split()[0]))
    if comparison is not None:
        lines += ["", *difference_rows(comparison)]
    return "\n".join([*lines, ""])


def results_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The results in a folder by model, those of one model by seed.

    Raises:
        ValueError: they are of several datasets, splits or protocols, or a seed occurs twice.
    """
    found = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        if path.name != "comparison.json":
            result = json.loads(path.read_text("utf-8"))
            found[result["model"]].append(result)
    every = [result for results in found.values() for result in results]
    if len({(r["dataset"]["fingerprint"], r["dataset"]["split"], r["protocol"]["version"]) for r in every}) != 1:
        raise ValueError(f"{folder}: results of more than one dataset, split or protocol version")
    for model, results in found.items():
        if len({result["training_seed"] for result in results}) != len(results):
            raise ValueError(f"{folder}: two results of {model} have one training seed")
    return dict(found)


def table_rows(
    groups: dict[str, list[dict[str, Any]]], comparison: dict[str, Any] | None, rows: dict[str, str]
) -> Iterator[str]:
    """A line of the table for each model; the mean over its runs."""
    intervals = {}
    if comparison is not None:
        intervals = {each["model"]: each["intervals"]["mean"] for each in comparison["standings"]}
    for model, results in groups.items():
        pairs = [sum(result["pairs"][pair]["R@1"] for result in results) / len(results) for pair in CROSS]
        mean = sum(result["headline"]["value"] for result in results) / len(results)
        low, high = results[0]["headline"]["ci95"]
        if len(results) > 1:
            low, high = intervals[model]["low"], intervals[model]["high"]
        values = [result["headline"]["value"] for result in results]
        runs = f"{len(results)} ({percent(min(values))} - {percent(max(values))})" if len(results) > 1 else "1"
        dims = {str(each["dim"]) for each in results[0]["embeddings"].values()}
        yield (
            f"| `{model}` | {rows.get(model, '')} | {' | '.join(map(percent, pairs))} "
            f"| {percent(mean)} ({percent(low)} - {percent(high)}) | {runs} | {', '.join(sorted(dims))} |"
        )


def difference_rows(comparison: dict[str, Any]) -> Iterator[str]:
    """The differences of the mean from the model of several runs, or else from the best."""
    several = [each["model"] for each in comparison["standings"] if len(each["runs"]) > 1]
    chosen = several[0] if several else comparison["standings"][0]["model"]
    count = len(comparison["differences"])
    yield f"| `{chosen}` and | difference of the mean, 95 % interval | p | p, corrected for {count} |"
    yield "|---|---|---|---|"
    for each in comparison["differences"]:
        if each["column"] != "mean" or chosen not in (each["a"], each["b"]):
            continue
        sign, other = (1, each["b"]) if each["a"] == chosen else (-1, each["a"])
        value, *ends = (sign * each[key] for key in ("value", "low", "high"))
        low, high = sorted(ends)
        yield (
            f"| `{other}` | {100 * value:+.2f} ({100 * low:+.2f} - {100 * high:+.2f}) "
            f"| {each['p']:.3g} | {each['p_holm']:.3g} |"
        )


def reported() -> str:
    """What was published about ROPE."""
    entries = [json.loads(path.read_text("utf-8")) for path in sorted(ROOT.glob("leaderboard/results/*/reported.json"))]
    lines = [REPORTED.format(paper=entries[0]["card"]["paper"]), f"| model | {' | '.join(CROSS)} |"]
    lines.append("|---|" + "---|" * len(CROSS))
    for entry in entries:
        numbers = " | ".join(percent(entry["reported"][pair]["R@1"]) for pair in CROSS)
        lines.append(f"| {entry['card']['name']} | {numbers} |")
    return "\n".join([*lines, ""])


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


if __name__ == "__main__":
    main()
