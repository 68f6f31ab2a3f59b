"""The score of a column as a table and as strict JSON."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from rope.bench.attributes.probes import INNER_FOLDS, STRENGTHS
from rope.bench.attributes.score import MAJORITY, PROBE, AttributeScore, MethodScore
from rope.bench.io.provenance import Provenance
from rope.bench.rows import flat, named
from rope.bench.stats.intervals import Interval
from rope.table import Table

__all__ = ["SCHEMA_VERSION", "as_json", "attribute_rows", "attribute_table"]

SCHEMA_VERSION: Final = 1
"""Version of the JSON layout."""


def as_json(score: AttributeScore, test: Provenance, train: Provenance | None) -> dict[str, Any]:
    """The result as a JSON object: fractions in full precision, null for an interval where there is none.

    All but `harness` follows from the embeddings, the dataset, the labels and the settings; the last digits of the
    probe may differ between machines.

    Args:
        score: the numbers.
        test: what was tested.
        train: what was learned from, if that was another split.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "tags" if score.is_tags else "classes",
        "model": test.model,
        "column": {
            "name": score.column,
            "sha256": score.sha256,
            "labels": list(score.labels),
            "n_products": score.n_products,
            "n_unlabelled": score.n_unlabelled,
            "n_left_out": score.n_left_out,
        },
        "evaluation": score.evaluation,
        "settings": {
            **asdict(score.settings),
            "strengths_tried": list(STRENGTHS),
            "inner_folds": INNER_FOLDS,
            "strengths_chosen": {domain: list(chosen) for domain, chosen in score.strengths.items()},
        },
        "dataset": {"name": test.dataset, "fingerprint": test.fingerprint, "split": test.split},
        "embeddings": _notes(test),
        "train": None if train is None else {"split": train.split, "embeddings": _notes(train)},
        "methods": {
            method: {
                "pairs": {pair: _cell_json(cell) for pair, cell in cells.items()},
                "means": {group: _metrics_json(metrics) for group, metrics in score.means[method].items()},
            }
            for method, cells in score.methods.items()
        },
        "harness": {
            "name": "rope-bench",
            "version": version("rope-bench"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": version("torch"),
            "platform": platform.platform(),
        },
    }


def attribute_rows(plain: Mapping[str, Any], of: Provenance) -> list[dict[str, Any]]:
    """What `as_json` says as rows, one for each method and pair, and for each mean of pairs."""
    about = named(of) | {"column": plain["column"]["name"]}
    return [
        about | {"method": method, "pair": pair} | flat(numbers)
        for method, found in plain["methods"].items()
        for group in ("pairs", "means")
        for pair, numbers in found[group].items()
    ]


def _notes(provenance: Provenance) -> dict[str, Any]:
    return {domain: note.to_json() for domain, note in provenance.embeddings.items()}


def _cell_json(cell: MethodScore) -> dict[str, Any]:
    return {
        "n_samples": cell.n_samples,
        "n_unseen": cell.n_unseen,
        "n_labels": cell.n_labels,
        **_metrics_json(cell.metrics),
        "draws": list(cell.draws),
    }


def _metrics_json(metrics: Mapping[str, Interval]) -> dict[str, Any]:
    ends = {name: None if one.low is None or one.high is None else [one.low, one.high] for name, one in metrics.items()}
    return {**{name: one.value for name, one in metrics.items()}, "ci95": ends}


@dataclass(frozen=True, slots=True)
class _Shown:
    """One column of the table: a metric of a method, or its interval."""

    heading: str
    method: str
    metric: str
    is_interval: bool = False

    def text(self, numbers: Mapping[str, Mapping[str, Interval]]) -> str:
        """Of method -> metric -> number."""
        one = numbers[self.method][self.metric]
        if not self.is_interval:
            return _percent(one.value)
        return "-" if one.low is None or one.high is None else f"{_percent(one.low)} - {_percent(one.high)}"


def attribute_table(score: AttributeScore) -> Table:
    """One row per pair, learned from its first domain and tested on its second; in percent, for a terminal."""
    table = Table(_title(score), _caption(score))
    columns = _columns(score)
    table.add_column("pair")
    table.add_columns(*(one.heading for one in columns), "samples")
    for pair, cell in score.methods[PROBE].items():
        numbers = {method: cells[pair].metrics for method, cells in score.methods.items()}
        table.add_row(pair, *(one.text(numbers) for one in columns), f"{cell.n_samples:,}")
    table.add_section()
    for group in score.means[PROBE]:
        numbers = {method: groups[group] for method, groups in score.means.items()}
        table.add_row(group, *(one.text(numbers) for one in columns), "")
    return table


def _columns(score: AttributeScore) -> list[_Shown]:
    """The probe with its interval and all its metrics; of the other methods the first, or for tags the floor."""
    first, *further = next(iter(score.means[PROBE].values()))
    others = [method for method in score.methods if method not in (PROBE, MAJORITY)]
    return [
        _Shown(first if score.is_tags else PROBE, PROBE, first),
        _Shown("95 %", PROBE, first, is_interval=True),
        *(_Shown(metric.removesuffix(" accuracy"), PROBE, metric) for metric in further),
        *(_Shown(method, method, first) for method in others),
        *([_Shown(f"floor {metric}", MAJORITY, metric) for metric in (first, *further)] if score.is_tags else []),
        *([] if score.is_tags else [_Shown(MAJORITY, MAJORITY, first)]),
    ]


def _title(score: AttributeScore) -> str:
    what = "tags (mAP, F1)" if score.is_tags else "accuracy"
    how = "learned from the other split" if score.evaluation == "train to test" else f"{score.settings.folds} folds"
    return f"{score.column}: {what} in %, {len(score.labels)} {'tags' if score.is_tags else 'classes'}, {how}"


def _caption(score: AttributeScore) -> str:
    notes = [f"{score.n_products:,} products; P2V: learned from pages, tested on videos of other products"]
    if score.n_unlabelled:
        notes.append(f"{score.n_unlabelled:,} products without a label")
    if score.n_left_out:
        notes.append(f"{score.n_left_out:,} left out, as no other product that could be learned from has their class")
    return "; ".join(notes)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
