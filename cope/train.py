"""Training, read from top to bottom: prepare, step, save, evaluate.

The same function trains on one CPU, one GPU or, started by `accelerate launch`, on many. Stopped at any moment, it goes
on at the exact next step.
"""

import hashlib
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from cope.aligned_start import align_heads, align_untrained_heads
from cope.beginning import make_model, make_reader
from cope.classification import ProductCentres
from cope.data import WeightedProducts, n_samples, training_products
from cope.embed import CopeEmbedder
from cope.evaluate import score_on_validation
from cope.freed_memory import keep_freed_memory
from cope.kept_frames import FRAMES_NAME, forget_frames, keep_frames, read_kept
from cope.long_tail import Tail, effective_number_weights, log_prior_shifts
from cope.model import Cope
from cope.objective import Losses, objective
from cope.optimisation import learning_rate_factor, make_optimizer
from cope.pixels import normalised
from cope.ranks import ProcessRank, current_ranks
from cope.recipe import RECIPE_NAME, TrainingRecipe, read_recipe, recipe_text
from cope.state import Progress, find_progress, load_state, save_state
from cope.titles import Tokens, tokenize_for
from cope.tower_cache import TowerCache, make_tower_cache
from cope.views import AmpereViews, Views
from rope.console import progress_bar
from rope.dataset.locate import cache_folder
from rope.dataset.manifest import read_manifest
from rope.domain import DOMAINS, Domain
from rope.errors import RopeError, UsageError
from rope.feed import BalancedProducts, ClipReader, Feed, ProcessShare, ProductBatch
from rope.feed.clips import SampleReader
from rope.step_log import LOG_NAME, append_to_log, cut_log, read_log
from rope.workdir import WorkFolder, differences

__all__ = ["LOG_NAME", "TrainReport", "train"]

_RECENT_STEPS = 100
"""Number of steps over which the median loss is taken to detect a spike."""


@dataclass(frozen=True, slots=True)
class TrainReport:
    """The outcome of a training run.

    Attributes:
        steps: in all.
        headline: mean R@1 of the six pairs on the validation split, in percent, after the last step.
        n_damaged: samples that could not be decoded and were replaced.
    """

    steps: int
    headline: float
    n_damaged: int


def train(
    directory: Path,
    out: Path,
    recipe: TrainingRecipe,
    *,
    num_workers: int = 0,
    trackers: tuple[str, ...] = (),
    stop_after: int | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> TrainReport | None:
    """Train a model, and leave weights, tokenizer, recipe and log in a folder.

    Args:
        directory: a dataset directory with the splits `train` and `validation`.
        out: the folder; a run that was stopped there is resumed.
        recipe: what to do.
        num_workers: processes that decode.
        trackers: names of experiment trackers as Accelerate knows them, such as `tensorboard`.
        stop_after: stop, with a saved state, when so many steps are done.
        cache: folder for what frozen towers make of the dataset; by default in that of `rope.dataset.locate`. Equal
            towers and datasets share it.
        progress: whether to draw a bar on stderr.

    Returns:
        None if it stopped before its end.

    Raises:
        UsageError: the folder holds something else, or the recipe does not fit the dataset.
        DatasetError: the dataset cannot be read.
        RopeError: the loss is not a number or has leapt; the state before that step is saved.
    """
    read_manifest(directory)  # before anything is written
    keep_freed_memory()
    accelerator = Accelerator(
        mixed_precision="bf16" if recipe.precision == "bf16" else "no",
        log_with=list(trackers) or None,
        project_dir=str(out),
    )
    ranks = current_ranks()
    with _claimed(out, recipe, ranks, accelerator.wait_for_everyone):
        if trackers:
            accelerator.init_trackers("cope", config=_flat(asdict(recipe)))
        model, tokenizer = make_model(directory, recipe)
        model.to(accelerator.device)
        towers = _embed_frozen_towers(cache, directory, recipe, model, tokenizer, ranks, accelerator, progress)
        is_own = recipe.model.vision is None and recipe.model.text is None  # no tower is pretrained
        if recipe.heads == "aligned" and not is_own:
            align_heads(model, towers, recipe.seed)
        reader: SampleReader = make_reader(recipe, model, towers)
        if recipe.keep_frames and isinstance(reader, ClipReader):
            if ranks.rank == 0:
                keep_frames(out / FRAMES_NAME, directory, reader, progress=progress)
            accelerator.wait_for_everyone()
            reader = read_kept(out / FRAMES_NAME, reader)
        products = training_products(directory, recipe, ProcessShare(ranks.rank, ranks.size), reader)
        if recipe.heads == "aligned" and is_own:
            align_untrained_heads(model, tokenizer, products, recipe.seed, use_text=recipe.use_text)
        run = _prepare(recipe, model, tokenizer, towers, products, ranks, accelerator)
        run.feed = Feed(
            products,
            num_workers=num_workers,
            pin_memory=accelerator.device.type == "cuda",
            epochs=recipe.epochs,
        )
        found = find_progress(out / "state")
        if found is not None:
            run.resume(out / "state", found)
        run.feed_before = run.feed.state_dict()
        cut_log(out / LOG_NAME, run.step)
        headline = None
        if run.lacks_score(out):
            run.evaluate(directory, out)
        total = recipe.epochs * len(run.feed)
        with progress_bar("training", total, shown=progress and ranks.rank == 0) as advance:
            advance(run.step)
            for epoch in range(run.feed.epoch, recipe.epochs):
                for batch in run.feed:
                    run.take_step(batch, total, out)
                    advance(1)
                    is_last = stop_after is not None and run.step >= stop_after
                    if is_last or run.step % recipe.save_steps == 0:
                        run.save(out / "state")
                    if is_last:
                        return None
                run.save(out / "state")
                is_last = epoch + 1 == recipe.epochs
                headline = run.evaluate(directory, out) if is_last or run.is_due(epoch + 1) else None
        if headline is None:  # everything was done before, except for the last score
            headline = run.evaluate(directory, out)
        if trackers:
            accelerator.end_training()
        if ranks.rank == 0:
            run.tokenizer.save_pretrained(out)
            accelerator.unwrap_model(run.model).save_pretrained(out)
            forget_frames(out / FRAMES_NAME)
        accelerator.wait_for_everyone()
        return TrainReport(run.step, headline, run.feed.n_damaged)


@dataclass(slots=True)
class _Run:
    """Everything that moves while training."""

    recipe: TrainingRecipe
    accelerator: Accelerator
    ranks: ProcessRank
    model: torch.nn.Module  # the model itself, or what keeps its copies on other processes equal
    tokenizer: PreTrainedTokenizerBase
    towers: TowerCache | None
    centres: ProductCentres | None
    optimizers: list[torch.optim.Optimizer]
    class_of: dict[str, int]
    feed: Feed[ProductBatch]
    step: int
    recent: list[float]
    frozen: dict[str, torch.Tensor]  # parameters that never move; a state has their hash only
    frozen_hash: str
    feed_before: dict[str, Any] | None = None  # where the feed stood before the batch of this step

    def take_step(self, batch: ProductBatch, total: int, out: Path) -> None:
        """Take one optimiser step on one batch."""
        recipe, warmup = self.recipe, round(self.recipe.warmup_epochs * len(self.feed))
        factor = learning_rate_factor(self.step, warmup, total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        torch.manual_seed(_seed_of_step(recipe.seed, self.step, self.ranks))  # dropout; nothing else draws
        losses = self._backward(*self._inputs(batch))
        self._check(losses, out)
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.recent = [*self.recent, float(losses.total.detach())][-_RECENT_STEPS:]
        self.step += 1
        self.feed_before = self.feed.state_dict()
        terms = {name: float(term) for name, term in losses.terms.items()}
        self._log(out, {"step": self.step, "loss": self.recent[-1], "rate": factor, **terms})

    def _inputs(self, batch: ProductBatch) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Arguments of the model, and the classes of the products [b], on the device."""
        device = self.accelerator.device
        frames = {domain: batch.samples[domain].frames.to(device, non_blocking=True) for domain in DOMAINS}
        labels = torch.tensor([self.class_of[product] for product in batch.product_ids], device=device)
        titles, *clip_texts = (self._tokens(batch, domain) for domain in self.recipe.model.text_domains)
        return (
            frames["page"],
            *titles,
            frames["video"],
            frames["live"],
            *(t for pair in clip_texts for t in pair),
        ), labels

    def _tokens(self, batch: ProductBatch, domain: Domain) -> Tokens:
        texts = [text if self.recipe.use_text else None for text in batch.samples[domain].texts]
        if self.towers is not None and self.towers.texts is not None:
            tokens = self.towers.tokens_of(texts)
        else:
            tokens = tokenize_for(self.accelerator.unwrap_model(self.model).text, self.tokenizer, texts)
        return Tokens(*(part.to(self.accelerator.device) for part in tokens))

    def _backward(self, inputs: tuple[torch.Tensor, ...], labels: torch.Tensor) -> Losses:
        """Leave the gradients of one batch in the parameters."""
        size = self.recipe.micro_batch or len(labels)
        if size >= len(labels):
            losses = self._objective(self._encode(self.model, inputs), labels)
            losses.total.backward()  # type: ignore[no-untyped-call]
            return losses
        return self._backward_in_parts(inputs, labels, size)

    def _backward_in_parts(self, inputs: tuple[torch.Tensor, ...], labels: torch.Tensor, size: int) -> Losses:
        """The same gradients, with the memory of `size` products.

        Views are made without a graph, the loss gives their gradients, and each part is made once more with its graph.
        Each part seeds dropout by its own place, so that both passes drop the same.
        """
        parts = [tuple(rest[i : i + size] for rest in inputs) for i in range(0, len(labels), size)]
        seeds = [_seed_of_step(self.recipe.seed, self.step, self.ranks) + i for i in range(1, len(parts) + 1)]
        plain = self.accelerator.unwrap_model(self.model)
        made = []
        for part, seed in zip(parts, seeds, strict=True):
            torch.manual_seed(seed)
            with torch.no_grad():
                made.append(self._encode(plain, part))
        views = type(made[0])(*(torch.cat(view).requires_grad_() for view in zip(*made, strict=True)))
        losses = self._objective(views, labels)
        losses.total.backward()  # type: ignore[no-untyped-call]
        for i, (part, seed) in enumerate(zip(parts, seeds, strict=True)):
            torch.manual_seed(seed)
            is_last = i + 1 == len(parts)
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                again = self._encode(self.model, part)
                moved = [(new, view.grad) for new, view in zip(again, views, strict=True) if view.grad is not None]
                gradients = [gradient[i * size : (i + 1) * size] for _, gradient in moved]
                torch.autograd.backward([new for new, _ in moved], gradients)
        return losses

    def _encode(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Views | AmpereViews:
        pages, input_ids, attention_mask, videos, lives, *texts = inputs
        with self.accelerator.autocast():
            views: Views | AmpereViews = model(
                normalised(pages), input_ids, attention_mask, normalised(videos), normalised(lives), *texts
            )
        return type(views)(*(view.float() for view in views))

    def _objective(self, views: Views | AmpereViews, labels: torch.Tensor) -> Losses:
        recipe = self.recipe
        return objective(views, labels, self.centres, recipe.loss, seed=recipe.seed, step=self.step, ranks=self.ranks)

    def _check(self, losses: Losses, out: Path) -> None:
        """Stop before a loss that is not a number, or has leapt, moves a weight."""
        loss, limit = float(losses.total.detach()), self.recipe.spike_factor
        has_leapt = (
            limit is not None and len(self.recent) == _RECENT_STEPS and loss > limit * statistics.median(self.recent)
        )
        if isfinite(loss) and not has_leapt:
            return
        self.save(out / "state", self.feed_before)
        terms = ", ".join(f"{name} {float(term):.3g}" for name, term in losses.terms.items())
        raise RopeError(
            f"{out}: the loss of step {self.step + 1} is {loss:.4g} ({terms}), where the last were about "
            f"{statistics.median(self.recent or [0]):.4g}; the state before it is saved: go on with lower rates or a "
            "higher spike_factor"
        )

    def save(self, folder: Path, feed: dict[str, Any] | None = None) -> None:
        """Save where the run stands, or, with the feed's state before a batch, where it stood before that."""
        parts: dict[str, Any] = {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        if self.centres is not None:
            parts["centres"] = self.centres.state_dict()
        if self.ranks.rank == 0:
            model = self.accelerator.unwrap_model(self.model)
            parts["model"] = {name: tensor for name, tensor in model.state_dict().items() if name not in self.frozen}
            parts["frozen"] = self.frozen_hash
        else:
            parts["optimizers"] = parts["optimizers"][1:]  # that of the model is the same on every rank
        progress = Progress(self.step, self.ranks.size, feed or self.feed.state_dict(), self.recent)
        save_state(folder, progress, self.ranks, parts, self.accelerator.wait_for_everyone)

    def resume(self, folder: Path, found: Progress) -> None:
        """Go on from a saved state."""
        own = load_state(folder, found, self.ranks)
        first = own if self.ranks.rank == 0 else load_state(folder, found, replace(self.ranks, rank=0))
        if first.get("frozen", self.frozen_hash) != self.frozen_hash:
            raise UsageError(
                f"{folder.parent}: the frozen towers have other weights now than when this run was saved; put "
                "those back, or start over in another folder"
            )
        frozen = {} if "frozen" not in first else self.frozen  # states of earlier versions hold these too
        self.accelerator.unwrap_model(self.model).load_state_dict({**frozen, **first["model"]})
        states = [first["optimizers"][0], *own["optimizers"][1 if self.ranks.rank == 0 else 0 :]]
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        if self.centres is not None:
            self.centres.load_state_dict(own["centres"])
        self.feed.load_state_dict(found.feed)
        self.step, self.recent = found.step, list(found.recent)

    def is_due(self, epochs: int) -> bool:
        """Whether the recipe asks for a score after so many epochs."""
        return self.recipe.eval_epochs > 0 and epochs > 0 and epochs % self.recipe.eval_epochs == 0

    def lacks_score(self, out: Path) -> bool:
        """Whether the run was stopped between the end of an epoch in its middle and the score that was due there."""
        is_between = self.feed.state_dict()["position"] == 0 and self.feed.epoch < self.recipe.epochs
        scored = {entry["step"] for entry in read_log(out / LOG_NAME) if "mean R@1" in entry}
        return is_between and self.is_due(self.feed.epoch) and self.step not in scored

    def evaluate(self, directory: Path, out: Path) -> float:
        """Mean R@1 of the six pairs on the validation split, in percent; measured on one rank, known to all."""
        headline = torch.zeros(1, dtype=torch.float64, device=self.accelerator.device)
        if self.ranks.rank == 0:
            model = self.accelerator.unwrap_model(self.model).eval()
            score = score_on_validation(
                CopeEmbedder(model, self.tokenizer, "training", use_text=self.recipe.use_text, cache=self.towers),
                directory,
            )
            model.train()
            headline += 100 * score.headline
            pairs = {name: 100 * pair.hit_rate[1] for name, pair in score.pairs.items()}
            values = {"step": self.step, "mean R@1": 100 * score.headline, **pairs}
            if read_log(out / LOG_NAME)[-1:] != [values]:  # as a finished run that is called again is scored again
                self._log(out, values)
        return float(self.accelerator.reduce(headline)[0])

    def _log(self, out: Path, values: dict[str, float]) -> None:
        if self.ranks.rank == 0:
            append_to_log(out / LOG_NAME, values)
            self.accelerator.log({name: value for name, value in values.items() if name != "step"}, step=self.step)


def _embed_frozen_towers(
    folder: Path | None,
    directory: Path,
    recipe: TrainingRecipe,
    model: Cope,
    tokenizer: PreTrainedTokenizerBase,
    ranks: ProcessRank,
    accelerator: Accelerator,
    progress: bool,
) -> TowerCache | None:
    """See `make_tower_cache`; the first process embeds, and then all read."""
    found = None
    for rank in range(min(2, ranks.size)):
        if (ranks.rank > 0) == rank:
            found = make_tower_cache(
                folder or cache_folder() / "towers",
                directory,
                model,
                tokenizer,
                augments=recipe.augments,
                writes=ranks.rank == 0,
                progress=progress,
            )
        accelerator.wait_for_everyone()
    return found


def _prepare(
    recipe: TrainingRecipe,
    model: Cope,
    tokenizer: PreTrainedTokenizerBase,
    towers: TowerCache | None,
    products: BalancedProducts,
    ranks: ProcessRank,
    accelerator: Accelerator,
) -> _Run:
    """Centres and optimizers as they are before the first step."""
    model.train()
    optimizers: list[torch.optim.Optimizer] = [make_optimizer(model, recipe)]
    centres = None
    if recipe.loss.classification_weight:
        centres = ProductCentres(
            len(products), recipe.model.embedding_dim, seed=recipe.seed, ranks=ranks, tail=_tail(products, recipe)
        )
        centres.to(accelerator.device)
        optimizers.append(torch.optim.AdamW(centres.parameters(), lr=recipe.lr_head, weight_decay=recipe.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    prepared = accelerator.prepare_model(model)
    class_of = {product: i for i, product in enumerate(sorted(products.product_ids))}
    feed: Any = None  # made by the caller, which knows the workers
    frozen = {name: weight.detach() for name, weight in model.named_parameters() if not weight.requires_grad}
    return _Run(
        recipe, accelerator, ranks, prepared, tokenizer, towers, centres, optimizers, class_of, feed, 0, [],
        frozen, _hash_of(frozen),
    )  # fmt: skip


def _hash_of(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]} ".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tail(products: BalancedProducts, recipe: TrainingRecipe) -> Tail | None:
    """Of the products in the order of their classes."""
    if not isinstance(products, WeightedProducts) or not (recipe.loss.logit_adjustment or recipe.loss.class_balance):
        return None
    order = np.argsort(products.product_ids)
    return Tail(
        log_prior_shifts(torch.from_numpy(products.weights[order]), recipe.loss.logit_adjustment),
        effective_number_weights(torch.from_numpy(n_samples(products)[order]), recipe.loss.class_balance),
    )


@contextmanager
def _claimed(out: Path, recipe: TrainingRecipe, ranks: ProcessRank, wait: Callable[[], object]) -> Iterator[None]:
    """Make the folder, or see that the run that it holds is the same."""

    def differs(_: str) -> str:
        return differences(asdict(read_recipe(str(out / RECIPE_NAME))), asdict(recipe))

    work = WorkFolder(out, RECIPE_NAME, recipe_text(recipe), "a run of `cope train`", differs)
    work.is_begun()
    wait()  # until every process has looked
    with work.claimed() if ranks.rank == 0 else nullcontext():
        wait()
        yield


def _seed_of_step(seed: int, step: int, ranks: ProcessRank) -> int:
    """A seed that no other step of another rank or recipe seed is likely to have."""
    return (seed * 1_000_003 + step * 4099 + ranks.rank * 257) % 2**63


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dots in the names, as trackers want them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return {name: "none" if value is None else value for name, value in flat.items()}
