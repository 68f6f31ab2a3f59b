"""Modules and names that have moved: the old ones work for one release, with a warning that tells the new one."""

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final, ParamSpec, TypeVar

__all__ = ["MOVED", "RENAMED", "RENAMED_OPTIONS", "install", "new_options", "renamed_argument", "renamed_attribute"]

P = ParamSpec("P")
T = TypeVar("T")

MOVED: Final = {
    "rope.bench.embeddings": "rope.bench.io.embeddings",
    "rope.bench.readers": "rope.bench.io.readers",
    "rope.bench.cope_dumps": "rope.bench.io.cope_dumps",
    "rope.bench.writer": "rope.bench.io.writer",
    "rope.bench.subject": "rope.bench.io.provenance",
    "rope.bench.similarity": "rope.bench.ranking.similarity",
    "rope.bench.blocks": "rope.bench.ranking.blocks",
    "rope.bench.counting": "rope.bench.ranking.counting",
    "rope.bench.counting_compiled": "rope.bench.ranking.counting_numba",
    "rope.bench.arithmetic": "rope.bench.ranking.backends",
    "rope.bench.on_device": "rope.bench.ranking.torch_backend",
    "rope.bench.tally": "rope.bench.ranking.pair_counts",
    "rope.bench.records": "rope.bench.ranking.records",
    "rope.bench.engine": "rope.bench.ranking.engine",
    "rope.bench.blockwise": "rope.bench.ranking.blockwise",
    "rope.bench.rowwise": "rope.bench.ranking.rowwise",
    "rope.bench.survival": "rope.bench.ranking.one_shot_expectation",
    "rope.bench.grouped": "rope.bench.per_gallery",
    "rope.bench.ranking.per_gallery": "rope.bench.per_gallery",
    "rope.bench.ranks": "rope.bench.stats.query_ranks",
    "rope.bench.intervals": "rope.bench.stats.intervals",
    "rope.bench.compare_tables": "rope.bench.stats.compare_tables",
    "rope.bench.groups": "rope.bench.stats.seed_groups",
    "rope.bench.embedder": "rope.bench.running.embedder",
    "rope.bench.embedder_checks": "rope.bench.running.checks",
    "rope.bench.source": "rope.bench.running.source",
    "rope.bench.run": "rope.bench.running.run",
    "rope.bench.run_key": "rope.bench.running.key",
    "rope.bench.run_summary": "rope.bench.running.summary",
    "rope.bench.share": "rope.bench.running.share",
    "rope.curation.runner": "rope.curation.pipeline.runner",
    "rope.curation.shards": "rope.curation.pipeline.worker",
    "rope.curation.supervisor": "rope.curation.pipeline.supervisor",
    "rope.curation.chaos": "rope.curation.pipeline.fault_injection",
    "rope.curation.manifest": "rope.curation.pipeline.manifest",
    "rope.curation.operation": "rope.curation.pipeline.operation",
    "rope.curation.pool": "rope.curation.pipeline.pool",
    "rope.curation.admission": "rope.curation.pipeline.ingest",
    "rope.curation.recipe": "rope.curation.pipeline.recipe",
    "rope.curation.options": "rope.config",
    "rope.curation.pipeline.options": "rope.config",
    "rope.curation.books": "rope.curation.pipeline.accounting",
    "rope.curation.engines": "rope.curation.pipeline",
    "rope.curation.engines.local": "rope.curation.pipeline.engine_local",
    "rope.curation.engines.ray": "rope.curation.pipeline.engine_ray",
    "rope.curation.threshold": "rope.curation.filtering.threshold",
    "rope.curation.sweep": "rope.curation.filtering.sweep",
    "rope.curation.operations.filter": "rope.curation.filtering.stage",
    "rope.curation.sample": "rope.curation.sampling.sample",
    "rope.curation.keyed_hash": "rope.curation.sampling.keyed_hash",
    "rope.curation.operations.sample": "rope.curation.sampling.stage",
    "rope.curation.evidence": "rope.curation.dedup.evidence",
    "rope.curation.linkage": "rope.curation.dedup.linkage",
    "rope.curation.merge": "rope.curation.dedup.merge",
    "rope.curation.neighbours": "rope.curation.dedup.neighbours",
    "rope.curation.perceptual": "rope.curation.dedup.near_duplicate_images",
    "rope.curation.registration": "rope.curation.dedup.registration",
    "rope.curation.operations.merge": "rope.curation.dedup.stage",
    "rope.curation.split": "rope.curation.splitting.split",
    "rope.curation.groups": "rope.curation.splitting.leakage_groups",
    "rope.curation.leaks": "rope.curation.splitting.leak_audit",
    "rope.curation.operations.split": "rope.curation.splitting.stage",
    "rope.curation.split_audit": "rope.curation.splitting.recipe_leaks",
    "rope.feed.shards": "rope.dataset.sample_rows",
    "rope.feed.table": "rope.dataset.sample_table",
    "rope.fetch.pacing": "rope.rate_limit",
    "rope.dataset.containers": "rope.media.containers",
    "rope.bench.effort_options": "rope.bench.compute_options",
    "rope.curation.estimate": "rope.curation.sampling.estimate",
    "rope.curation.explain": "rope.curation.dedup.explain",
    "rope.curation.merge_tables": "rope.curation.dedup.merge_tables",
    "rope.asr.hearing": "rope.asr.transcriber",
    "rope.bench.recommend.places": "rope.bench.recommend.target_ranks",
    "rope.sources.thinning": "rope.sources.frame_subsampling",
}
"""Old name -> new name; remove with the release after 0.1.

`compare`, `slices` and `tail` are functions of `rope.bench` now, which modules of these names would hide.
"""

RENAMED: Final = {
    "baselines.learn.config": {"Recipe": "LearnRecipe"},
    "baselines.learn.data": {"Batch": "UserBatch"},
    "baselines.options": {"Options": "EmbeddingOptions"},
    "cope.ranks": {"Ranks": "ProcessRank"},
    "cope.recipe": {"Recipe": "TrainingRecipe"},
    "leaderboard.board": {"Cell": "BoardCell", "Row": "BoardRow"},
    "leaderboard.entry": {"Entry": "LeaderboardEntry"},
    "leaderboard.projection": {"Point": "MapPoint"},
    "rope.asr.answers": {"Answer": "ChatAnswer", "Lost": "UnansweredChat"},
    "rope.asr.transcriber": {"Listener": "Transcriber", "Mute": "Untranscribed", "iter_mute": "iter_untranscribed"},
    "rope.bench": {"Effort": "ComputeSettings"},
    "rope.bench.attributes.examples": {"Pool": "LabelledSamples"},
    "rope.bench.attributes.score": {"Cell": "MethodScore"},
    "rope.bench.compute_options": {"read_effort": "read_compute"},
    "rope.bench.doctor.frontier": {"Point": "FrontierPoint"},
    "rope.bench.doctor.geometry": {"Shape": "DomainGeometry"},
    "rope.bench.doctor.hubs": {"Hub": "HubSample"},
    "rope.bench.doctor.rows": {"Fault": "RowFault", "Side": "UsableRows"},
    "rope.bench.io.provenance": {"Subject": "Provenance", "load_subject": "load_provenance"},
    "rope.bench.product1m": {"Figures": "Product1mMetrics"},
    "rope.bench.ranking.engine": {"Effort": "ComputeSettings"},
    "rope.bench.ranking.one_shot_expectation": {"survival": "win_chances"},
    "rope.bench.ranking.pair_counts": {"Tally": "PairCounts"},
    "rope.bench.ranking.records": {"Effort": "ComputeSettings"},
    "rope.bench.recommend.report": {"Options": "RecommendOptions", "Task": "RecommendProvenance"},
    "rope.bench.recommend.score": {"Figures": "RecommendMetrics"},
    "rope.bench.recommend.target_ranks": {"Places": "TargetRanks"},
    "rope.bench.running.embedder": {"Origin": "EmbedderOrigin"},
    "rope.bench.running.share": {"Share": "RunShare"},
    "rope.bench.running.source": {"Source": "ModelSource"},
    "rope.bench.score": {"Side": "ScoredDomain"},
    "rope.bench.stats.intervals": {"Estimate": "MetricEstimate"},
    "rope.bench.stats.query_ranks": {"Origin": "RanksProvenance", "Ranks": "QueryRanks"},
    "rope.bench.stats.seed_groups": {"Run": "SeedRun"},
    "rope.bench.stats.slices": {"Slice": "QuerySlice"},
    "rope.curation.annotation.answers": {"Answer": "AnnotatorAnswer"},
    "rope.curation.annotation.batches": {"Batch": "TaskBatch", "Task": "AnnotationTask"},
    "rope.curation.dedup.explain": {"Step": "MergeStep"},
    "rope.curation.dedup.merge": {"Labels": "PairLabels"},
    "rope.curation.pipeline.accounting": {"Step": "RowFate"},
    "rope.curation.pipeline.fault_injection": {"Chaos": "FaultInjection", "ChaosError": "InjectedError"},
    "rope.curation.pipeline.ingest": {"Admit": "IngestOptions", "admit": "ingest_rows"},
    "rope.curation.pipeline.manifest": {"Manifest": "ShardManifest", "Part": "ShardPart"},
    "rope.curation.pipeline.pool": {"Pool": "RawPool", "Slice": "PoolSlice"},
    "rope.curation.pipeline.recipe": {"Limits": "RunLimits", "Recipe": "CurationRecipe"},
    "rope.curation.pipeline.worker": {"Job": "ShardJob", "Task": "ShardAttempt"},
    "rope.curation.report": {"Report": "CurationReport"},
    "rope.curation.sampling.estimate": {"Estimate": "SampleEstimate"},
    "rope.curation.splitting.leak_audit": {"Side": "SplitSide"},
    "rope.curation.splitting.leakage_groups": {"Hub": "LeakageHub"},
    "rope.dataset.directory": {"Labels": "SampleLabels"},
    "rope.dataset.manifest": {"Manifest": "DatasetManifest"},
    "rope.dataset.reading": {"Reader": "DomainReader"},
    "rope.dataset.shards": {"Batch": "RowBatch"},
    "rope.feed": {"Share": "ProcessShare"},
    "rope.feed.clips": {"Reader": "SampleReader"},
    "rope.feed.loader": {"Source": "BatchSource"},
    "rope.feed.share": {"Share": "ProcessShare", "Step": "ProcessStep"},
    "rope.fetch.limits": {"Limits": "FetchLimits"},
    "rope.fetch.outcome": {"Job": "FetchJob", "Lost": "LostImage"},
    "rope.media.packets": {"Run": "PacketRange"},
    "rope.sources.faults": {"Fault": "ReleaseFault"},
    "rope.sources.frame_subsampling": {"thin_frames": "subsample_frames"},
    "rope.sources.media_files": {"Entry": "MediaEntry"},
    "rope.sources.source": {"Source": "ReleaseSource"},
    "rope.synthetic.planting": {"Row": "PlantedRow"},
    "rope.synthetic.shapes": {"Part": "ShapePart", "Shape": "ProductShape"},
}
"""Module -> old name of a class or function in it -> new name; remove with the release after 0.1."""


RENAMED_OPTIONS: Final = {
    "cope train": {"--config": "--recipe"},
    "rope curate annotate export": {"--media-prefix": "--prefix"},
    "rope curate run": {"--chaos": "--inject-faults"},
    "rope export": {"--to": "--out"},
    "rope fetch": {"--connections": "--concurrency", "--rate": "--per-second", "--to": "--out"},
    "rope-bench attributes": {"--draws": "--trials"},
}
"""Command -> old name of an option -> new name; remove with the release after 0.1."""


def new_options(command: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line with options under their new names, and a sentence for each that was renamed.

    >>> new_options("rope export", ["export", "data", "--to=tars"])
    (['export', 'data', '--out=tars'], ['--to is now --out; the old name goes with the next release'])
    """
    renamed, found, told = RENAMED_OPTIONS.get(command, {}), list[str](), list[str]()
    is_option = True
    for word in words:
        is_option = is_option and word != "--"
        name, equals, value = word.partition("=")
        if is_option and name in renamed:
            told.append(f"{name} is now {renamed[name]}; the old name goes with the next release")
            word = f"{renamed[name]}{equals}{value}"
        found.append(word)
    return found, told


def install() -> None:
    """Make the old names importable; repeating does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
        sys.meta_path.insert(0, _RenamedNames())


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator that takes the keyword argument `old` for `new`, with a warning."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> T:
            if old in options:
                _warn(f"the argument {old}", new, 3)
                options[new] = options.pop(old)
            return function(*args, **options)

        return call

    return decorate


def renamed_attribute(old: str, new: str) -> property:
    """A property `old` that gives the attribute `new`, with a warning."""

    def attribute(self: object) -> object:
        _warn(f"the attribute {old}", new, 3)
        return getattr(self, new)

    return property(attribute)


def _warn(old: str, new: str, level: int) -> None:
    warnings.warn(f"{old} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel=level)


class _Finder(MetaPathFinder):
    """Finds the module of a new name under the old one; asked last, when nothing else has the name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname)
        return None if new is None else importlib.util.spec_from_loader(fullname, _Alias(fullname, new))


class _Alias(Loader):
    """Gives the module of another name, after a warning."""

    def __init__(self, old: str, new: str) -> None:
        self._old = old
        self._new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _warn(self._old, self._new, 3)
        return _copy_of(importlib.import_module(self._new), self._old)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run."""


def _copy_of(module: ModuleType, name: str) -> ModuleType:
    """A module of another name with the same objects in it; the import system writes its own notes into it."""
    alias = ModuleType(name, module.__doc__)
    alias.__dict__.update({key: value for key, value in vars(module).items() if not key.startswith("__")})
    alias.__dict__["__all__"] = getattr(module, "__all__", [])
    if "__getattr__" in vars(module):
        alias.__dict__["__getattr__"] = vars(module)["__getattr__"]
    if hasattr(module, "__path__"):
        alias.__path__ = []  # a package; the modules in it have their own entries
    return alias


class _RenamedNames(MetaPathFinder):
    """Finds the modules of `RENAMED` where Python finds them, and adds their old names once they have run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in RENAMED else None
        if spec is not None and spec.loader is not None:
            run = functools.partial(_run_and_add_old_names, spec.loader.exec_module)
            setattr(spec.loader, "exec_module", run)  # noqa: B010  a plain assignment to a method has no type
        return spec


def _run_and_add_old_names(exec_module: Callable[[ModuleType], None], module: ModuleType) -> None:
    exec_module(module)
    renamed, own = RENAMED[module.__name__], vars(module).get("__getattr__")

    def __getattr__(name: str) -> object:  # noqa: N807  the module's
        if name in renamed:
            _warn(f"{module.__name__}.{name}", f"{module.__name__}.{renamed[name]}", 3)
            return getattr(module, renamed[name])
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = __getattr__
