"""Several models and datasets in one run, and one model in several processes."""

import re
from collections.abc import Sequence
from pathlib import Path

from rope.bench.json_option import is_file
from rope.bench.metrics import mean
from rope.bench.result import Report
from rope.bench.running.run import samples_done
from rope.bench.running.spawn import read_gpus, run_shares, this_program
from rope.console import progress_bar
from rope.dataset.manifest import read_manifest
from rope.domain import Split
from rope.errors import UsageError
from rope.files import AnyPath
from rope.table import Table

__all__ = ["RunFiles", "check_several", "embed_in_shares", "summary_table"]


def check_several(
    models: Sequence[str],
    datasets: Sequence[str],
    out: Path,
    json: Path | None,
    *,
    share: str | None,
    gpus: str | None,
    processes: int | None,
) -> None:
    """Refuse options that contradict each other, before anything is loaded.

    Raises:
        UsageError: names them, and says what to do.
    """
    divided = [name for name, value in (("--share", share), ("--gpus", gpus), ("--processes", processes)) if value]
    if len(divided) > 1:
        raise UsageError(f"{' and '.join(divided)}: each divides the work; give one of them")
    several = "models" if len(models) > 1 else "datasets"
    if len(models) == 1 and len(datasets) < 2:
        return
    if out.suffix == ".parquet" or out.is_file():
        raise UsageError(f"--out {out}: several {several} need a folder, in which each gets a file of its name")
    if json is not None and not is_file(json):
        raise UsageError(f"--json -: stdout holds one result, and several {several} give several; give a file")


class RunFiles:
    """Where the files of a run go.

    Args:
        out: as given: a file, or for several models or datasets a folder.
        n_models: how many there are.
        datasets: the names of the datasets.

    Raises:
        UsageError: two datasets have one name.
    """

    def __init__(self, out: Path, n_models: int, datasets: Sequence[str]) -> None:
        self._out, self._several_models, self._several_datasets = out, n_models > 1, len(datasets) > 1
        self._used: set[Path] = set()
        names = [_stem(name) for name in datasets]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two datasets are called {name!r}, and each needs its own folder; run one of them apart"
                )

    def vectors(self, model: str, dataset: str) -> Path:
        """The file of a model's vectors on a dataset; its folder is made.

        >>> RunFiles(Path("e.parquet"), 1, ["rope"]).vectors("clip", "rope")
        PosixPath('e.parquet')

        Raises:
            UsageError: another model has the name already.
        """
        if not (self._several_models or self._several_datasets):
            return self._out
        file = (self._out / _stem(dataset) if self._several_datasets else self._out) / f"{_stem(model)}.parquet"
        if file in self._used:
            raise UsageError(
                f"two models are called {model!r}, and each needs a file of its own; run one of them apart"
            )
        self._used.add(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def result(self, path: Path | None, model: str, dataset: str) -> Path | None:
        """The file of a result: with several, the names of dataset and model go before that of the file.

        >>> RunFiles(Path("runs"), 2, ["a", "b"]).result(Path("r.json"), "openai/clip B-32", "a")
        PosixPath('a.openai-clip-B-32.r.json')
        """
        if path is None:
            return None
        names = [_stem(dataset)] * self._several_datasets + [_stem(model)] * self._several_models
        return path.with_name(".".join([*names, path.name]))


def _stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "unnamed"


def summary_table(reports: Sequence[Report]) -> Table:
    """The headline of each report: how models do on several datasets, whose figures do not compare with each other."""
    table = Table("Mean R@1 of the cross-domain pairs, in %", n_keys=2)
    for heading in ("dataset", "model"):
        table.add_column(heading)
    table.add_columns("mean R@1", "95 % interval", "by chance", "pairs", "queries")
    for report in sorted(reports, key=lambda report: report.provenance.dataset):
        cross = [pair for pair in report.score.pairs.values() if pair.pair.query != pair.pair.gallery]
        interval = report.ci95
        table.add_row(
            report.provenance.dataset,
            report.provenance.model,
            "-" if report.headline is None else f"{100 * report.headline:.2f}",
            "-" if interval is None else f"{100 * interval[0]:.2f} - {100 * interval[1]:.2f}",
            f"{100 * mean(pair.at_random[1] for pair in cross):.2f}" if cross else "-",
            str(len(cross)),
            f"{sum(pair.n_queries for pair in cross):,}",
        )
    table.caption = "A figure compares with those of the same dataset only."
    return table


def embed_in_shares(
    model: str,
    out: Path,
    data: AnyPath,
    split: Split,
    batch_size: int,
    words: Sequence[str],
    *,
    gpus: str | None,
    processes: int | None,
) -> None:
    """Embed with one process a GPU, or with so many; their parts lie ready for a run that joins them.

    Args:
        model: as on the command line.
        out: the file of the run.
        data: the dataset directory.
        split: to embed.
        batch_size: samples per call.
        words: the other options of each process.
        gpus: `all` or numbers; None for processes.
        processes: how many; None for GPUs.

    Raises:
        UsageError: a GPU is not there.
        RopeError: a process failed; what all had finished is kept.
    """
    if out.exists():
        return
    named_gpus = read_gpus(gpus) if gpus is not None else None
    environments = (
        [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in named_gpus] if named_gpus is not None else [{}] * (processes or 1)
    )
    command = [*this_program(), "run", "--model", model, "--out", str(out), *words]
    total = sum(read_manifest(data).counts.get(split, {}).values())
    with progress_bar(f"embedding in {len(environments)} processes", total) as advance:
        run_shares(command, environments, samples_done(data, out, split, batch_size), advance)
