"""Training, read from top to bottom: prepare, step, save.

The same function trains on one CPU, one GPU or, started by `accelerate launch`, on many. Stopped at any moment, it goes
on at the exact next step. As in the release, every process has its own batch, and no negatives of the others.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import normalize

from baselines.learn.config import LearnRecipe, load_recipe, recipe_text
from baselines.learn.data import UserBatch, epoch_batches, n_batches, trainable
from baselines.learn.loss import dense_all_action, full_gallery_softmax, in_batch_softmax
from baselines.learn.model import Learn, last_places
from rope.bench.recommend.interactions import Sequences
from rope.console import progress_bar
from rope.encoders.weights import fill, read_content, read_state
from rope.errors import DatasetError, RopeError, UsageError
from rope.files import atomic_path
from rope.step_log import LOG_NAME, append_to_log, cut_log
from rope.workdir import WorkFolder, differences

__all__ = ["MODEL_NAME", "RECIPE_NAME", "load_trained", "objective", "rate_factor", "train"]

MODEL_NAME: Final = "model.pt"
"""The weights at the end, laid out as the authors' checkpoints."""

RECIPE_NAME: Final = "recipe.json"
_STATE_NAME: Final = "state.pt"


def train(
    content: npt.NDArray[np.float32],
    sequences: Sequences,
    out: Path,
    recipe: LearnRecipe,
    *,
    first_weights: Path | None = None,
    stop_after: int | None = None,
    progress: bool = True,
) -> Learn | None:
    """Train a model, and leave weights, recipe and a log of the losses in a folder.

    Args:
        content: float32 [n, input_dim], a vector for each item; their lengths do not matter.
        sequences: what each user took, as rows of `content`; those of fewer than two items are left out.
        out: the folder; a run that was stopped there is resumed.
        recipe: what to do.
        first_weights: folder of a finished run to begin with the weights of, such as one of pre-training.
        stop_after: stop, with a saved state, when so many steps are done.
        progress: whether to draw a bar on stderr.

    Returns:
        The model, on the CPU, or None if it stopped before its end.

    Raises:
        UsageError: the folder holds something else, or the recipe does not fit the vectors.
        DatasetError: no user has two items.
        RopeError: the loss is not a number, or the saved state is damaged.
    """
    if content.shape[1] != recipe.model.input_dim:
        raise UsageError(f"input_dim {recipe.model.input_dim}: the vectors have {content.shape[1]} dimensions")
    sequences = trainable(sequences)
    accelerator = Accelerator()
    rank, size = accelerator.process_index, accelerator.num_processes
    steps_an_epoch = n_batches(len(sequences), recipe.batch_size, size)
    if steps_an_epoch == 0:
        raise DatasetError(f"{len(sequences)} users with two interactions, too few to train {size} processes on")
    data = _data_sha256(content, sequences)
    with _claimed(out, recipe, accelerator):
        state = _saved_state(out, data, size)
        torch.manual_seed(recipe.seed)
        model = Learn(recipe.model) if first_weights is None else _begin_with(first_weights, recipe)
        model.to(accelerator.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)
        step = 0
        if state is not None:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            step = int(state["step"])
        prepared = accelerator.prepare_model(model)
        table = normalize(torch.from_numpy(content).to(accelerator.device), dim=-1)
        total, warmup = recipe.epochs * steps_an_epoch, round(recipe.warmup_epochs * steps_an_epoch)
        if rank == 0:
            cut_log(out / LOG_NAME, step)

        def save() -> None:
            if rank == 0:
                parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                with atomic_path(out / _STATE_NAME) as temporary:
                    torch.save({**parts, "step": step, "data": data, "processes": size}, temporary)

        with progress_bar("training", total, shown=progress and rank == 0) as advance:
            advance(step)
            while step < total:
                epoch, start = divmod(step, steps_an_epoch)
                for batch in epoch_batches(sequences, recipe, epoch, rank=rank, size=size, start=start):
                    rate = recipe.learning_rate * rate_factor(step, warmup, total)
                    torch.manual_seed(_seed_of_step(recipe.seed, step, rank))  # dropout; nothing else draws
                    loss = objective(prepared, table, batch, recipe)
                    if not math.isfinite(float(loss.detach())):
                        save()  # without waiting: the losses of other processes may be numbers
                        raise RopeError(
                            f"{out}: the loss of step {step + 1} is {float(loss.detach())}; the state before it is "
                            "saved: start over with a lower rate"
                        )
                    accelerator.backward(loss)
                    _update(optimizer, rate)
                    step += 1
                    advance(1)
                    if rank == 0:
                        append_to_log(out / LOG_NAME, {"step": step, "loss": float(loss.detach()), "rate": rate})
                    if step in (stop_after, total) or step % recipe.save_steps == 0:
                        save()
                        accelerator.wait_for_everyone()
                    if step == stop_after and step < total:
                        return None
        if rank == 0:
            _write_model(out / MODEL_NAME, model, recipe, step)
        accelerator.wait_for_everyone()
        return model.cpu().eval()


def _update(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()


def objective(model: torch.nn.Module, table: Tensor, batch: UserBatch, recipe: LearnRecipe) -> Tensor:
    """The loss of one batch: a scalar.

    Args:
        model: a `Learn`, or what keeps its copies on other processes equal.
        table: content embeddings of all items [n, input_dim], unit vectors.
        batch: rows of the table.
        recipe: which objective, and its options.
    """
    history, mask, items, item_mask, places, place_mask = (
        torch.from_numpy(array).to(table.device)
        for array in (batch.history, batch.mask, batch.items, batch.item_mask, batch.places, batch.place_mask)
    )
    if recipe.objective == "full_gallery":
        users, gallery = model(table[history], mask, table)
        hidden = None
        if recipe.mask_history:  # all but the padding, and the target item where it was taken before
            hidden = torch.where(mask.bool() & (history != items), history, len(table))
        return full_gallery_softmax(last_places(users, mask), gallery, items[:, 0], hidden, recipe.scale)
    if recipe.objective == "in_batch":
        users, found = model(table[history], mask, table[items[:, 0]])
        return in_batch_softmax(last_places(users, mask), found, items[:, 0], recipe.scale)
    users, found = model(table[history], mask, table[items])
    rows = torch.arange(len(users), device=table.device)[:, None]
    return dense_all_action(users[rows, places], found, items, place_mask, item_mask, recipe.scale)


def rate_factor(step: int, warmup: int, total: int) -> float:
    """The share of the highest rate at a step: rises in a line from 0, then falls as a cosine to 0.

    >>> [round(rate_factor(step, 2, 6), 3) for step in range(6)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def load_trained(folder: Path) -> tuple[Learn, LearnRecipe]:
    """The model of a finished run, ready to encode, and its recipe.

    Raises:
        UsageError: the folder holds no finished run.
    """
    if not (folder / MODEL_NAME).is_file() or not (folder / RECIPE_NAME).is_file():
        raise UsageError(f"{folder}: no finished run of LEARN; expected {MODEL_NAME} and {RECIPE_NAME}")
    recipe = load_recipe(folder / RECIPE_NAME)
    model = Learn(recipe.model)
    fill(model, read_state(folder / MODEL_NAME, "the weights of a run of LEARN"), folder / MODEL_NAME)
    return model.eval(), recipe


def _begin_with(folder: Path, recipe: LearnRecipe) -> Learn:
    model, earlier = load_trained(folder)
    if earlier.model != recipe.model:
        raise UsageError(f"{folder}: its model has other sizes than the recipe says")
    return model


@contextmanager
def _claimed(out: Path, recipe: LearnRecipe, accelerator: Accelerator) -> Iterator[None]:
    """Make the folder, or see that the run that it holds is the same."""

    def differs(_: str) -> str:
        return differences(asdict(load_recipe(out / RECIPE_NAME)), asdict(recipe))

    work = WorkFolder(out, RECIPE_NAME, recipe_text(recipe), "a run of LEARN", differs)
    work.is_begun()
    accelerator.wait_for_everyone()  # until every process has looked
    with work.claimed() if accelerator.process_index == 0 else nullcontext():
        accelerator.wait_for_everyone()
        yield


def _saved_state(out: Path, data: str, size: int) -> dict[str, Any] | None:
    """The saved state of the run; None where there is none."""
    if not (out / _STATE_NAME).exists():
        return None
    state = _load(out / _STATE_NAME)
    if (state["data"], state["processes"]) != (data, size):
        raise UsageError(
            f"{out}: was started with other vectors, interactions or number of processes; choose another folder"
        )
    return state


def _load(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", read_content(path, "the saved state of a run; delete it to start over"))


def _write_model(path: Path, model: Learn, recipe: LearnRecipe, step: int) -> None:
    weights = {f"module.{name}": value.cpu() for name, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save({"epoch": recipe.epochs, "step": step, "name": "learn", "state_dict": weights}, temporary)


def _data_sha256(content: npt.NDArray[np.float32], sequences: Sequences) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(content).tobytes())
    digest.update(sequences.offsets.tobytes() + sequences.items.tobytes())
    return digest.hexdigest()


def _seed_of_step(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(1, step, rank)).generate_state(1)[0])
