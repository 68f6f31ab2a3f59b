"""Recommendation: what content is worth on planted preferences, and what a score costs beside the bare product.

    python benchmarks/recommend.py planted [--seed 0]
    python benchmarks/recommend.py speed [--users 30000] [--items 30000] [--dim 256] [--device cpu] [--no-neighbours]

`planted` trains LEARN on one core with both of its objectives and prints NDCG@10 of every method: synthetic throughout.
`speed` ranks users who took twelve items each, of random vectors in clusters; the bare product is the same similarities
in float32, made block by block and forgotten, for 20,000 users at most and then scaled. Memory is that of the process
before the bare product.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.floors import item_neighbours, rank_by_neighbours, rank_by_popularity
from rope.bench.recommend.interactions import Interactions, Sequences, leave_one_out
from rope.bench.recommend.score import RecommendScore, score
from rope.bench.recommend.target_ranks import hidden_items, rank_by_vectors
from rope.bench.recommend.users import mean_of_history
from rope.synthetic.interactions import Planted, plant_interactions

T = TypeVar("T")
PER_USER = 12
ROWS = 1024
BARE_USERS = 20_000


def timed(what: str, task: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = task()
    seconds = time.perf_counter() - started
    print(f"{what}: {seconds:.2f} s")
    return seconds, result


def planted(seed: int) -> None:
    import torch

    from baselines.learn.config import LearnConfig, LearnRecipe, Objective
    from baselines.learn.embed import embed_items, embed_users
    from baselines.learn.train import train

    torch.set_num_threads(1)
    made = plant_interactions(Planted(), seed)
    split = leave_one_out(made.interactions, "test")
    content = Vectors.of(made.content)

    def scored(name: str, items: Vectors, users: np.ndarray) -> RecommendScore:
        return score(items, users, split, ComputeSettings(threads=1), name=name, neighbours=50, exclude_history=True)

    show(scored("mean of history", content, mean_of_history(content, split.history)))
    objectives: tuple[Objective, ...] = ("full_gallery", "dense")
    for objective in objectives:
        sizes = LearnConfig(
            input_dim=content.dim, output_dim=32, width=32, heads=4, mlp_width=64, layers=1, dropout=0.0
        )
        recipe = LearnRecipe(
            model=sizes, seed=0, objective=objective, epochs=30, learning_rate=5e-3, places=5, actions=4
        )
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            model = train(made.content, split.training, Path(folder, "run"), recipe)
            print(f"LEARN, {objective}: {time.process_time() - started:.1f} s of one core")
        assert model is not None
        items = Vectors.of(embed_items(model, made.content))
        users = embed_users(model, made.content, split.history, recipe.max_history)
        show(scored(f"LEARN, {objective}", items, users), only_first=True)


def show(result: RecommendScore, *, only_first: bool = False) -> None:
    for method, slices in list(result.methods.items())[: 1 if only_first else None]:
        cells = [f"{name} {_with_interval(slices[name].metrics['NDCG@10'])}" for name in ("all", "cold items")]
        print(f"{method}: NDCG@10, {', '.join(cells)}")


def _with_interval(interval) -> str:
    return f"{100 * interval.value:.2f} ({100 * interval.low:.2f} - {100 * interval.high:.2f})"


def speed(n_users: int, n_items: int, dim: int, device: str, *, neighbours: bool) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(n_items // 100, 1), dim), np.float32)
    vectors = np.repeat(centres, -(-n_items // len(centres)), axis=0)[:n_items]
    for start in range(0, n_items, ROWS):
        vectors[start : start + ROWS] += 2 * rng.standard_normal(vectors[start : start + ROWS].shape, np.float32)
    taken = Sequences(np.arange(n_users + 1) * PER_USER, rng.integers(0, n_items, n_users * PER_USER))
    split = leave_one_out(Interactions([], [], taken), "test")
    items, hidden = Vectors.of(vectors), hidden_items(split, exclude_history=True)
    _, users = timed("mean of history", lambda: mean_of_history(items, split.history))
    compute = ComputeSettings(device=device)
    rank_by_vectors(items, users[:100], split.targets[:100], hidden.take(np.arange(100)), compute)  # compiles
    seconds, _ = timed("ranks", lambda: rank_by_vectors(items, users, split.targets, hidden, compute))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    multiplied = users[:BARE_USERS]
    seconds_of_some, _ = timed(f"bare product, {len(multiplied):,} users", lambda: product(multiplied, vectors, device))
    bare = seconds_of_some * n_users / len(multiplied)
    timed("popularity", lambda: rank_by_popularity(n_items, split, hidden))
    if neighbours:
        _, near = timed("item-kNN, neighbours", lambda: item_neighbours(n_items, split.training, 50))
        timed("item-kNN, ranks", lambda: rank_by_neighbours(near, split, hidden))
    print(
        f"{n_users:,} users x {n_items:,} items at {dim} dimensions on {device}: "
        f"{seconds / bare:.2f} times the bare product"
    )
    print(f"peak memory {peak:.2f} GB, of it vectors {(users.nbytes + vectors.nbytes) / 2**30:.2f} GB")


def product(users: np.ndarray, items: np.ndarray, device: str) -> None:
    """Every similarity in float32, in blocks that are forgotten."""
    if device == "cpu":
        block = np.empty((ROWS, len(items)), np.float32)
        for start in range(0, len(users), ROWS):
            rows = users[start : start + ROWS]
            np.matmul(rows, items.T, out=block[: len(rows)])
        return
    import torch

    left, right = torch.from_numpy(users).to(device), torch.from_numpy(items).to(device)
    for rows in left.split(4096):
        for columns in right.split(1 << 17):
            torch.mm(rows, columns.T)
    torch.zeros(1, device=device).item()  # waits for what came before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("planted").add_argument("--seed", type=int, default=0)
    speeds = commands.add_parser("speed")
    speeds.add_argument("--users", type=int, default=30_000)
    speeds.add_argument("--items", type=int, default=30_000)
    speeds.add_argument("--dim", type=int, default=256)
    speeds.add_argument("--device", default="cpu")
    speeds.add_argument("--no-neighbours", action="store_true", help="leave item-kNN out")
    options = parser.parse_args()
    if options.command == "planted":
        planted(options.seed)
    else:
        speed(options.users, options.items, options.dim, options.device, neighbours=not options.no_neighbours)


if __name__ == "__main__":
    main()
