"""How long the published recipe of COPE would take on one and eight cards: an estimate, of which nothing has been run.

    python benchmarks/cope_estimate.py [--efficiency 0.4] [--frame-ms 1.9] [--cores 16] [--frame-kb 50]

For each card and each number n of them, with b products a step and f = 1 + 2 x 8 frames a product:

    steps      = 80 x floor(187,431 / b)
    compute    = operations of a step / (n x peak x efficiency)
    gradients  = 2 x (n - 1) / n x 4 bytes x parameters / link
    input      = b x f x frame_ms / (n x cores)
    a step     = max(compute + gradients, input)
    cores      = b x f x frame_ms / (compute + gradients), in all, so that the cards do not wait

The operations of the visual tower are counted by torch on the published one without its weights, forward and backward;
those of titles (24 x tokens x width^2 a block) and of the classification are added. `efficiency`, the
share of the card's dense bfloat16 peak that training reaches, is assumed; `--device cuda` of
`benchmarks/cope_training.py` measures it (MFU). `frame_ms`, the processor time to read, decode and resize a frame of
540 x 960, is measured by `benchmarks/feed.py`. Peaks and links are the makers' figures, without sparsity.
"""

import argparse
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from cope.config import CopeConfig
from cope.model import Cope
from cope.recipe import read_recipe

N_PRODUCTS = 187_431
TOKENS = 32
"""Of a title."""


@dataclass(frozen=True, slots=True)
class Card:
    """An accelerator: dense bfloat16 operations a second, and bytes a second to the others of its machine."""

    peak: float
    link: float


CARDS = {"A100": Card(312e12, 300e9), "H100 or H200": Card(989e12, 450e9)}


def count_model(batch: int) -> tuple[float, int]:
    """Operations of a step, with the classification, and parameters whose gradients are exchanged."""
    config, frames = CopeConfig(), CopeConfig().num_frames
    with torch.device("meta"):
        model = Cope(config)
        page, clips = (torch.empty(n, t, 3, config.image_size, config.image_size) for n, t in ((1, 1), (2, frames)))
    with FlopCounterMode(display=False) as counter:
        torch.cat([model.vision(page), model.vision(clips)]).sum().backward()
    title = 3 * config.text_layers * 24 * TOKENS * config.text_width**2
    classification = 3 * 2 * 3 * N_PRODUCTS * config.embedding_dim  # three samples a product; forward and two backward
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return batch * (counter.get_total_flops() + title + classification), parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--efficiency", type=float, default=0.4)
    parser.add_argument("--frame-ms", type=float, default=1.9)
    parser.add_argument("--cores", type=int, default=16, help="for each card")
    parser.add_argument("--frame-kb", type=float, default=50, help="of a stored frame")
    options = parser.parse_args()
    recipe = read_recipe("paper")
    batch, n_frames = recipe.batch_size, 1 + 2 * recipe.model.num_frames
    steps = recipe.epochs * (N_PRODUCTS // batch)
    operations, parameters = count_model(batch)
    decoding_s = batch * n_frames * options.frame_ms / 1e3
    table = Table(title=f"{steps:,} steps of {operations / 1e12:.0f} TFLOP; {parameters / 1e6:.0f} million parameters")
    for heading in ("cards", "compute, ms", "gradients, ms", "input, ms", "hours", "cores to keep up", "MB/s read"):
        table.add_column(heading, justify="left" if heading == "cards" else "right")
    for name, card in CARDS.items():
        for n in (1, 8):
            compute = operations / (n * card.peak * options.efficiency)
            gradients = 2 * (n - 1) / n * 4 * parameters / card.link
            reading = decoding_s / (n * options.cores)
            step = max(compute + gradients, reading)
            cores, rate = decoding_s / (compute + gradients), batch * n_frames * options.frame_kb / 1e3 / step
            cells = (f"{compute * 1e3:.0f}", f"{gradients * 1e3:.1f}", f"{reading * 1e3:.0f}")
            table.add_row(f"{n} x {name}", *cells, f"{steps * step / 3600:.1f}", f"{cores:.0f}", f"{rate:,.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
