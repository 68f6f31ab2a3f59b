"""What two processes do, for tests: run as `python -m tests.cope.several RANK SIZE FOLDER JOB...`."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from cope.classification import ProductCentres, capped
from cope.config import RELEASED_VALUE_CAP, LossConfig
from cope.losses import contrastive_loss
from cope.objective import objective
from cope.ranks import ProcessRank, current_ranks, gather_for_copies, shard_bounds, undo_average
from cope.views import Views
from tests.cope.golden import golden, tiny_batch, tiny_model

ROOT = Path(__file__).parents[2]


def run_in_processes(jobs, size, folder):
    """Job -> what it returns on each of `size` processes that train together."""
    command = [sys.executable, "-m", "tests.cope.several"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([*command, str(rank), str(size), str(folder), *jobs], cwd=ROOT, env=environment)
        for rank in range(size)
    ]
    assert [process.wait(timeout=120) for process in running] == [0] * size
    return {job: [torch.load(folder / f"{job}-{rank}.pt", weights_only=True) for rank in range(size)] for job in jobs}


def authors_case(ranks):
    """The gradients of the authors' two-process case, each rank with half of the rows."""
    arrays = golden("world2")
    start, stop = shard_bounds(6, ranks)
    a = arrays["in.embeddings"][start:stop].requires_grad_()
    b = arrays["in.contrast_b"][start:stop].requires_grad_()
    centres = ProductCentres(7, 8, seed=0, ranks=ranks)
    centres.load_whole(arrays["in.weight"])
    losses = centres(undo_average(a, ranks), arrays["in.labels"][start:stop], scale=64.0, margin=0.4)
    classified = capped(losses, RELEASED_VALUE_CAP).mean()
    classified.backward()
    found = {"classified": classified.detach(), "classified_a": a.grad, "centres": centres.weight.grad}
    found |= {"start": torch.tensor(centres.start), "whole": centres.whole()}
    a.grad = None
    everyone = (gather_for_copies(undo_average(rows, ranks), ranks) for rows in (a, b))
    loss = contrastive_loss(*everyone, 0.05, 0.1)
    loss.backward()
    return found | {"contrasted": loss.detach(), "contrasted_a": a.grad, "contrasted_b": b.grad}


def train_small(ranks):
    """The parameters after 20 steps of a small network, centres and all."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 5 * 8))
    centres = ProductCentres(13, 8, seed=1, ranks=ranks)
    copies = nn.parallel.DistributedDataParallel(model) if ranks.size > 1 else model
    optimizer = torch.optim.SGD([*model.parameters(), *centres.parameters()], lr=0.01, momentum=0.9)
    config = LossConfig(class_share=0.5)
    generator = torch.Generator().manual_seed(2)
    start, stop = shard_bounds(8, ranks)
    for step in range(20):
        rows = torch.randn(8, 6, generator=generator)
        labels = torch.randperm(13, generator=generator)[:8]
        views = Views(*copies(rows[start:stop]).unflatten(1, (5, 8)).unbind(1))
        losses = objective(views, labels[start:stop], centres, config, seed=0, step=step, ranks=ranks)
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {**model.state_dict(), "centres": centres.whole(), "loss": losses.total.detach(), **losses.terms}


def differentiate_cope(ranks):
    """The gradients of a small COPE for one global batch of four products."""
    model = tiny_model()
    centres = ProductCentres(9, 16, seed=1, ranks=ranks)
    copies = nn.parallel.DistributedDataParallel(model) if ranks.size > 1 else model
    start, stop = shard_bounds(4, ranks)
    views = copies(*(rows[start:stop] for rows in tiny_batch(4)))
    labels = torch.tensor([8, 3, 0, 5])[start:stop]
    objective(views, labels, centres, LossConfig(), seed=0, step=0, ranks=ranks).total.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


JOBS = {job.__name__: job for job in (authors_case, train_small, differentiate_cope)}


def main(rank, size, folder, *jobs):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=int(rank), world_size=int(size))
    ranks = current_ranks()
    assert ranks == ProcessRank(int(rank), int(size))
    for job in jobs:
        torch.save(JOBS[job](ranks), f"{folder}/{job}-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
