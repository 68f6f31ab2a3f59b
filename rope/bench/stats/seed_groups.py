"""Which results are training runs of one model, and whether they can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob
from itertools import combinations
from pathlib import Path

import numpy as np

from rope.bench.stats.query_ranks import QueryRanks, load_ranks
from rope.errors import UsageError

__all__ = ["Group", "SeedRun", "check_comparable", "check_same_task", "group_of", "read_groups"]


@dataclass(frozen=True, slots=True, eq=False)
class SeedRun:
    """The ranks of one training run, and the result they were read from; None where they were not read."""

    ranks: QueryRanks
    file: str | None = None

    @property
    def label(self) -> str:
        """The name in messages."""
        return self.file or self.ranks.origin.model

    @property
    def seed(self) -> int | None:
        """Of its training, where the result says."""
        return self.ranks.origin.training_seed

    def is_same_as(self, other: "SeedRun") -> bool:
        """Whether both are of the same vectors and candidates, by their hashes; False where those are not known."""
        ours, theirs = self.ranks.origin, other.ranks.origin
        is_known = bool(ours.embeddings)
        return is_known and ours.embeddings == theirs.embeddings and ours.candidates == theirs.candidates


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One model, as comparisons see it.

    Attributes:
        name: what tables call it.
        runs: its training runs, one or more, by seed and file.
    """

    name: str
    runs: tuple[SeedRun, ...]


def read_groups(results: Sequence[Path], groups: Sequence[str]) -> list[Group]:
    """Read results, and put those of one model together.

    Args:
        results: files that `rope-bench score --json` wrote, each a separate model unless a group takes it.
        groups: `NAME=FILE,FILE`, where a file may be a pattern of files, or just a pattern for the names of models in
            `results`. The files of a group may be among `results` too.

    Raises:
        UsageError: a pattern matches nothing, a file or a run is given twice, a group has no name, or as `load_ranks`.
    """
    named = _named_files([text for text in groups if "=" in text])
    taken = {path.resolve() for files in named.values() for path in files}
    singles = [path for path in results if path.resolve() not in taken]
    _check_once(singles, "")
    found = {name: [_read(path) for path in files] for name, files in named.items()}
    runs = [_read(path) for path in singles]
    for pattern in (text for text in groups if "=" not in text):
        matching = [run for run in runs if fnmatchcase(run.ranks.origin.model, pattern)]
        if not matching:
            names = ", ".join(sorted({run.ranks.origin.model for run in runs})) or "none"
            raise UsageError(
                f"--group {pattern!r}: matches no model among the results, which are {names}; give a pattern of their "
                "names, or NAME=FILE,FILE"
            )
        if pattern in found:
            raise UsageError(f"--group {pattern!r}: given twice, or the name of another group too")
        found[pattern] = matching
        runs = [run for run in runs if run not in matching]
    return [group_of(name, of_group) for name, of_group in found.items()] + [
        Group(run.ranks.origin.model, (run,)) for run in runs
    ]


def group_of(name: str, runs: Sequence[SeedRun]) -> Group:
    """Training runs of one model, by seed and file.

    Raises:
        UsageError: there are none.
    """
    if not runs:
        raise UsageError(f"{name}: no results; expected one or more, a training run each")
    return Group(name, tuple(sorted(runs, key=_by_seed)))


def check_comparable(models: Sequence[Group]) -> None:
    """Refuse models that differ in more than how good they are.

    Raises:
        UsageError: there are fewer than two or two of one name, fewer than two products, a run or seed counts twice, or
            runs were scored on different datasets, splits, protocol versions or queries.
    """
    runs = [run for model in models for run in model.runs]
    for run in runs:
        if not run.ranks.pairs:
            raise UsageError(
                f"{run.label} was scored on {run.ranks.origin.dataset}, where no query has a positive; there is "
                "nothing to compare"
            )
    if len(models) < 2:
        raise UsageError(f"a comparison needs at least two models, got {len(models)}")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            f"two models are called {twice!r}; if they are training runs of one model, compare them as one with "
            f"--group {twice!r}, and if not, score one again with another --name"
        )
    for other in runs[1:]:
        check_same_task(runs[0], other)
    for name in runs[0].ranks.compared_pairs:
        if len(np.unique(runs[0].ranks.pairs[name].products)) < 2:
            raise UsageError(f"{name} has queries of one product only, and a comparison needs at least two products")
    _check_runs(models)


def _named_files(groups: Sequence[str]) -> dict[str, list[Path]]:
    """Name -> its files, in the order given; a name given again adds to its files."""
    files: dict[str, list[Path]] = {}
    for text in groups:
        name, _, what = text.partition("=")
        if not name.strip() or not what.strip():
            raise UsageError(f"--group {text!r}: expected NAME=FILE,FILE, such as 'tiny=tiny-0.json,tiny-1.json'")
        files.setdefault(name.strip(), []).extend(_files(what, text))
    everything = [path for of_group in files.values() for path in of_group]
    for name, of_group in files.items():
        _check_once(of_group, f"--group {name}: ")
    _check_once(everything, "--group: ")
    return files


def _files(what: str, text: str) -> list[Path]:
    if Path(what).is_file():
        return [Path(what)]
    found = []
    for part in filter(None, (part.strip() for part in what.split(","))):
        # Not Path.glob, which takes no absolute pattern.
        matching = [Path(part)] if Path(part).is_file() else sorted(map(Path, glob(part, recursive=True)))  # noqa: PTH207
        if not matching:
            raise UsageError(f"--group {text!r}: {part} is not a file, and no file matches it")
        found += matching
    return found


def _check_once(files: Sequence[Path], where: str) -> None:
    places = [path.resolve() for path in files]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UsageError(f"{where}{files[i]} is given twice; a run counts once")


def _read(path: Path) -> SeedRun:
    return SeedRun(load_ranks(path), str(path))


def _by_seed(run: SeedRun) -> tuple[int, str]:
    return (-1 if run.seed is None else run.seed, run.label)


def _check_runs(models: Sequence[Group]) -> None:
    """The runs of a model are a sample of its seeds only if each counts once, and in one model."""
    for model in models:
        for a, b in combinations(model.runs, 2):
            if a.is_same_as(b):
                raise UsageError(
                    f"{model.name}: {a.label} and {b.label} are the same run, by the hash of their embeddings; leave "
                    "one out"
                )
            if a.seed is not None and a.seed == b.seed:
                raise UsageError(
                    f"{model.name}: {a.label} and {b.label} are both of training seed {a.seed}; a seed counts once, so "
                    "leave one out, or give the seeds with rope-bench score --training-seed"
                )
    for one, other in combinations(models, 2):
        shared = [(a, b) for a in one.runs for b in other.runs if a.is_same_as(b)]
        if shared and len(one.runs) + len(other.runs) > 2:
            a, b = shared[0]
            raise UsageError(
                f"{one.name} and {other.name} share a run ({a.label} and {b.label} have the same embeddings), and the "
                "runs of two models must be different; leave it out of one of them"
            )


def check_same_task(first: SeedRun, other: SeedRun) -> None:
    """Refuse two runs that were not asked the same queries.

    Raises:
        UsageError: dataset, split, version of the protocol, pairs or queries differ.
    """
    a, b = first.ranks.origin, other.ranks.origin
    names = f"{first.label} and {other.label}"
    for what, wanted, found in (
        ("datasets (fingerprints)", a.fingerprint, b.fingerprint),
        ("splits", a.split, b.split),
        ("versions of the protocol", a.protocol, b.protocol),
    ):
        if wanted != found:
            raise UsageError(
                f"{names} cannot be compared: they were scored on different {what}, {wanted} and {found}; score both "
                "on the same"
            )
    if first.ranks.compared_pairs != other.ranks.compared_pairs:
        raise UsageError(
            f"{names} cannot be compared: the first has the pairs {', '.join(first.ranks.compared_pairs)}, the second "
            f"{', '.join(other.ranks.compared_pairs)}; score both with the same rope-bench"
        )
    for name in first.ranks.compared_pairs:
        ours, theirs = first.ranks.pairs[name], other.ranks.pairs[name]
        same = ours.query_ids == theirs.query_ids and np.array_equal(ours.n_positives, theirs.n_positives)
        same &= first.ranks.product_ids == other.ranks.product_ids and np.array_equal(ours.products, theirs.products)
        if not same:
            raise UsageError(
                f"{names} cannot be compared: {name} has {len(ours.query_ids):,} and {len(theirs.query_ids):,} queries "
                "that are not the same; score both with the same rope-bench"
            )
