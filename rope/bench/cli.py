"""The command `rope-bench`: score files of embeddings, or run an embedder and score what it gives.

Each command stands in a file of its own. Everything heavy is imported inside, so that `--help` answers at once.
"""

from rope.bench.attributes.cli import attributes, tail
from rope.bench.compare_cli import compare, slices
from rope.bench.doctor_cli import doctor
from rope.bench.failures.cli import gallery
from rope.bench.product1m_cli import product1m
from rope.bench.queries.cli import queries
from rope.bench.recommend.cli import recommend
from rope.bench.rerank.cli import rerank
from rope.bench.run_cli import run
from rope.bench.score_cli import score
from rope.bench.tsne_cli import tsne
from rope.console import new_app, run_app

__all__ = ["main"]

app = new_app("Score cross-domain product representations: retrieval between domains and one-shot classification.")
for command in (
    score,
    run,
    compare,
    slices,
    doctor,
    product1m,
    rerank,
    queries,
    recommend,
    attributes,
    tail,
    gallery,
    tsne,
):
    app.command()(command)


def main() -> None:
    """The console script `rope-bench`, with the commands that packages above this one add to it."""
    from importlib.metadata import entry_points

    for commands in entry_points(group="rope_bench.commands"):
        commands.load()(app)
    run_app(app)
