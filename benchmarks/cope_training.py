"""What training COPE costs: the classification over all of ROPE's products, and whole steps of the published model.

    python benchmarks/cope_training.py [--rows 63] [--device cpu|cuda] [--batch 84]

Every task runs in its own process, so that its peak memory is its own. The first table is one forward and
backward pass of the product classification over 187,431 classes of 128 dimensions, beside torch's cross entropy over
all of them.
With `--device cuda` a second table has whole steps of the published model at the published batch, beside a plain
float32 loop; MFU is the share of the card's measured bfloat16 product rate that the tower's arithmetic takes.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy, normalize

from cope.classification import ProductCentres, sample_classes
from cope.config import CopeConfig, LossConfig
from cope.model import Cope
from cope.objective import objective

N_PRODUCTS = 187_431
DIM = 128
CLASSIFICATIONS = ("cross entropy over all", "all products", "a tenth of the products", "a hundredth")
STEPS = ("float32, one clip after the other", "float32", "bfloat16", "bfloat16, compiled")


def seconds(step: Callable[[], object], device: str, rounds: int) -> float:
    """Median of some rounds after two to warm up."""
    taken = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


def classification(task: str, rows: int, device: str) -> Callable[[], object]:
    torch.manual_seed(0)
    centres = ProductCentres(N_PRODUCTS, DIM, seed=0).to(device)
    embeddings = torch.randn(rows, DIM, device=device, requires_grad=True)
    labels = torch.randint(N_PRODUCTS, (rows,), device=device)

    def plain() -> None:
        logits = 64 * normalize(embeddings) @ normalize(centres.weight).T
        cross_entropy(logits, labels).backward()
        centres.weight.grad = None

    def ours(share: float | None) -> None:
        classes = None if share is None else sample_classes(labels, N_PRODUCTS, share, 0, 0)
        centres(embeddings, labels, classes, scale=64, margin=0.4).mean().backward()
        centres.weight.grad = None

    share = {"all products": None, "a tenth of the products": 0.1, "a hundredth": 0.01}
    return plain if task == CLASSIFICATIONS[0] else lambda: ours(share[task])


def whole_step(task: str, batch: int, device: str) -> Callable[[], object]:
    """Forward, backward and update with random pixels; data loading is not part of it."""
    torch.manual_seed(0)
    config = CopeConfig()
    model = Cope(config).to(device).train()
    centres = ProductCentres(N_PRODUCTS, DIM, seed=0).to(device)
    if "compiled" in task:
        model.vision.compile()
    optimizer = torch.optim.AdamW([*model.parameters(), *centres.parameters()], lr=1e-6, fused=device == "cuda")
    frames = config.num_frames
    page = torch.randn(batch, 1, 3, 224, 224, device=device)
    video, live = (torch.randn(batch, frames, 3, 224, 224, device=device) for _ in range(2))
    ids = torch.randint(config.vocabulary, (batch, 32), device=device)
    mask, labels = torch.ones_like(ids), torch.randperm(N_PRODUCTS, device=device)[:batch]
    micro = 4 if "one clip" in task else batch

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled="bfloat16" in task):
            parts = [
                model(
                    page[i : i + micro],
                    ids[i : i + micro],
                    mask[i : i + micro],
                    video[i : i + micro],
                    live[i : i + micro],
                )
                for i in range(0, batch, micro)
            ]
        views = type(parts[0])(*(torch.cat(view) for view in zip(*parts, strict=True)))
        objective(views, labels, centres, LossConfig(), seed=0, step=0).total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def flops_of_step(batch: int) -> float:
    """Multiplications and additions of the visual tower, forward and backward, attention included."""
    config = CopeConfig()
    tokens, width = config.n_patches + 2, config.vision_width
    per_frame = config.vision_layers * (24 * tokens * width**2 + 4 * tokens**2 * width)
    return 3.0 * per_frame * batch * (1 + 2 * config.num_frames)


def product_rate(device: str) -> float:
    """Measured operations a second of a large bfloat16 product."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds(lambda: a @ b, device, 20)


def run_alone(arguments: argparse.Namespace) -> None:
    make = classification if arguments.task in CLASSIFICATIONS else whole_step
    size = arguments.rows if arguments.task in CLASSIFICATIONS else arguments.batch
    taken = seconds(make(arguments.task, size, arguments.device), arguments.device, 5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"seconds": taken, "peak_mb": peak}))


def measure(task: str, arguments: argparse.Namespace) -> dict[str, float]:
    options = ["--rows", str(arguments.rows), "--batch", str(arguments.batch), "--device", arguments.device]
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, *options], check=False, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=63, help="samples classified in a step; 252 at the published batch")
    parser.add_argument("--batch", type=int, default=84)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        run_alone(arguments)
        return
    console = Console()
    table = Table(
        "classification", "ms a step", "ratio", "peak MB", title=f"{N_PRODUCTS:,} products, {arguments.rows} rows"
    )
    first = None
    for task in CLASSIFICATIONS:
        found = measure(task, arguments)
        first = first or found
        ratio = f"{found['seconds'] / first['seconds']:.2f}"
        table.add_row(task, f"{found['seconds'] * 1e3:.0f}", ratio, f"{found['peak_mb']:,.0f}")
    console.print(table)
    if arguments.device == "cuda":
        console.print(step_table(arguments))


def step_table(arguments: argparse.Namespace) -> Table:
    rate, work = product_rate("cuda"), flops_of_step(arguments.batch)
    headings = ("step", "ms", "images/s", "times the first", "MFU", "80 epochs, hours", "peak MB")
    table = Table(*headings, title=f"batch {arguments.batch}; bfloat16 products at {rate / 1e12:.0f} TFLOP/s")
    first = None
    for task in STEPS:
        found = measure(task, arguments)
        if not found:
            table.add_row(task, "does not fit")
            continue
        first = first or found
        taken = found["seconds"]
        table.add_row(
            task,
            f"{taken * 1e3:.0f}",
            f"{arguments.batch * (1 + 2 * CopeConfig().num_frames) / taken:,.0f}",
            f"{first['seconds'] / taken:.2f}",
            f"{work / taken / rate:.0%}",
            f"{80 * N_PRODUCTS / arguments.batch * taken / 3600:.1f}",
            f"{found['peak_mb']:,.0f}",
        )
    return table


if __name__ == "__main__":
    main()
