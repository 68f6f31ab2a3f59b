"""Quick scores while a model is trained: for a plain loop, transformers' Trainer and Lightning.

Every callback asks an `Evaluator` whether a step is due; the numbers are those of the full score.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rope.bench.evaluation import evaluate
from rope.bench.io.given import to_numbers
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.result import QuickReport
from rope.bench.running.embedder import takes_role
from rope.dataset.directory import iter_samples
from rope.dataset.locate import locate
from rope.dataset.manifest import read_manifest
from rope.domain import DomainName, Split
from rope.errors import EmbeddingError, UsageError
from rope.extras import needed_by
from rope.files import Address, AnyPath
from rope.moved import renamed_argument, renamed_attribute

if TYPE_CHECKING:
    from transformers import TrainerCallback

__all__ = ["Embed", "Evaluator", "Log", "embed_split", "lightning_callback", "trainer_callback"]

Embed: TypeAlias = Callable[..., Any]
"""n samples of one domain -> floats [n, dim]: an array, or a tensor on any device; or a list of n of [m, dim].

With a parameter `role`, which is `query` or `gallery`, it is called for each, as `rope.bench.running.embedder` says.
"""

RoleVectors: TypeAlias = "npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]"
"""float32 [n, dim], or n of [m, dim]."""

Log: TypeAlias = Callable[[Mapping[str, float], int], None]
"""Told flat names with their numbers, and the step: `lambda metrics, step: run.log(metrics, step=step)`."""


class Evaluator:
    """Scores a model every so many steps of a training loop.

    Call it with the number of each step. Where the step is due it embeds the whole split, without gradients, and
    returns a `QuickReport`; everywhere else it returns None.

    Attributes:
        history: step -> report, of every step that was scored.
    """

    effort = renamed_attribute("effort", "compute")

    @renamed_argument("effort", "compute")
    def __init__(
        self,
        data: "Address | None" = None,
        *,
        every: int,
        split: Split = "validation",
        log: Log | None = None,
        prefix: str = "rope/",
        batch_size: int = 64,
        compute: ComputeSettings | None = None,
    ) -> None:
        """Find the dataset, and embed nothing yet.

        Args:
            data: the dataset directory; None for the one that `rope.dataset.locate.find` finds.
            every: steps between two scores.
            split: the split to embed; choose checkpoints on another than you report.
            log: told `QuickReport.metrics`, with `prefix` before each name.
            prefix: see `log`.
            batch_size: samples handed to the model at a time.
            compute: how to spend the machine on the scores.

        Raises:
            UsageError: `every` or `batch_size` is below 1, or the dataset does not exist.
        """
        if every < 1 or batch_size < 1:
            raise UsageError(f"every and batch_size must be at least 1, got {every} and {batch_size}")
        self.data = locate(data)
        self.every, self.split, self.batch_size = every, split, batch_size
        self.log, self.prefix, self.compute = log, prefix, compute
        self.history: dict[int, QuickReport] = {}

    def is_due(self, step: int) -> bool:
        """Whether a step is scored: each multiple of `every` but 0, once."""
        return step > 0 and step % self.every == 0 and step not in self.history

    def __call__(self, step: int, embed: Embed) -> QuickReport | None:
        """Score the model if the step is due.

        Args:
            step: steps done, from 1.
            embed: the model as it is now; put it into evaluation mode yourself.
        """
        return self.score(step, embed) if self.is_due(step) else None

    def score(self, step: int, embed: Embed) -> QuickReport:
        """Score the model now, regardless of the step."""
        vectors = embed_split(embed, self.data, self.split, batch_size=self.batch_size)
        name, compute = f"step {step}", self.compute
        report = evaluate(vectors, self.data, split=self.split, name=name, quick=True, compute=compute, missing="given")
        self.history[step] = report
        if self.log is not None:
            self.log(self.metrics(report), step)
        return report

    def metrics(self, report: QuickReport) -> dict[str, float]:
        """The numbers of a report, under the names that are logged."""
        return {f"{self.prefix}{name}": value for name, value in report.metrics().items()}


def embed_split(embed: Embed, data: AnyPath, split: Split, *, batch_size: int = 64) -> dict[DomainName, Any]:
    """Embed every sample of a split, without gradients, in each role that the model knows.

    Returns:
        For each domain its sample ids and vectors, and where there are roles those as queries, as `rope.bench.evaluate`
        takes them.

    Raises:
        DatasetError: the dataset cannot be read, or a sample cannot be decoded.
        EmbeddingError: the model returned another number of vectors than samples, or an array for some and lists for
            others.
    """
    calls: list[Embed] = [embed]
    if takes_role(embed):
        calls = [partial(embed, role="gallery"), partial(embed, role="query")]
    found: dict[DomainName, Any] = {}
    for domain in read_manifest(data).domains:
        ids: list[str] = []
        blocks: list[list[RoleVectors]] = [[] for _ in calls]
        for samples in iter_samples(data, domain, split, batch_size=batch_size):
            for call, of_role in zip(calls, blocks, strict=True):
                with _no_gradients():
                    of_role.append(_copied(call(samples), domain, len(samples)))
            ids += [sample.sample_id for sample in samples]
        if ids:
            found[domain] = (ids, *(_joined(of_role, domain) for of_role in blocks))
    return found


def _copied(given: Any, domain: DomainName, n: int) -> RoleVectors:  # noqa: ANN401  arrays or tensors, or lists of them
    """What a model returned for n samples, in memory of its own: the model may use its memory again."""
    if isinstance(given, list | tuple):
        if len(given) != n:
            raise EmbeddingError(f"embeddings of {domain}: {len(given)} arrays [m, dim], expected {n}, one a sample")
        return [np.array(to_numbers(one, domain, None)[0], np.float32) for one in given]
    return np.array(to_numbers(given, domain, n)[0], np.float32)


def _joined(blocks: Sequence[RoleVectors], domain: DomainName) -> RoleVectors:
    lists = [block for block in blocks if isinstance(block, list)]
    arrays = [block for block in blocks if not isinstance(block, list)]
    if lists and arrays:
        raise EmbeddingError(f"embeddings of {domain}: an array for some samples and a list for others")
    return [one for block in lists for one in block] if lists else np.concatenate(arrays)


def trainer_callback(evaluator: Evaluator, embed: Callable[..., Any]) -> "TrainerCallback":
    """A callback for transformers' `Trainer`: `Trainer(..., callbacks=[trainer_callback(evaluator, embed)])`.

    It scores after a step that is due, only in the process of rank 0, and adds the numbers to the log of the trainer,
    `trainer.state.log_history`. The model must fit into that process: one whose weights are spread over processes
    cannot be called from one of them.

    Args:
        evaluator: when and on what.
        embed: model and samples, and perhaps `role`, -> vectors, see `Embed`; called in evaluation mode.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    with needed_by("trainer_callback"):
        from transformers import TrainerCallback

    class Score(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:  # noqa: ANN401
            step = int(state.global_step)
            if not (state.is_world_process_zero and evaluator.is_due(step)):
                return
            with _evaluating(model):
                report = evaluator.score(step, partial(embed, model))
            state.log_history.append({**evaluator.metrics(report), "epoch": state.epoch, "step": step})

    return Score()


def lightning_callback(evaluator: Evaluator, embed: Callable[..., Any]) -> Any:  # noqa: ANN401
    """A callback for Lightning: `Trainer(..., callbacks=[lightning_callback(evaluator, embed)])`.

    It scores after an optimiser step that is due, only in the process of rank 0, and gives the numbers to the logger
    of the trainer. As for `trainer_callback`, the model must fit into that process.

    Args:
        evaluator: when and on what.
        embed: module and samples, and perhaps `role`, -> vectors, see `Embed`; called in evaluation mode.

    Raises:
        MissingExtraError: Lightning is not installed.
    """
    callback: Any = _lightning_base()

    class Score(callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *others: Any) -> None:  # noqa: ANN401
            step = int(trainer.global_step)
            if not (trainer.is_global_zero and evaluator.is_due(step)):
                return
            with _evaluating(pl_module):
                report = evaluator.score(step, partial(embed, pl_module))
            if trainer.logger is not None:
                trainer.logger.log_metrics(evaluator.metrics(report), step=step)

    return Score()


def _lightning_base() -> Any:  # noqa: ANN401  a class of a package that may be missing
    """The class of callbacks, of the package that is in use: it has two names."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        if name in sys.modules:
            return sys.modules[name].Callback
    with needed_by("lightning_callback"):
        return import_module("lightning.pytorch").Callback


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:  # noqa: ANN401  a torch.nn.Module
    """Evaluation mode inside the block, and each part of the model back in its own mode behind it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, is_training in modes.items():
            module.training = is_training


@contextmanager
def _no_gradients() -> Iterator[None]:
    torch = sys.modules.get("torch")  # a model of torch has imported it
    if torch is None:
        yield
    else:
        with torch.no_grad():
            yield
