"""The benchmark: embeddings in, protocol, engine, report.

What it offers to programs is loaded at first use, such as `rope.bench.evaluate(embeddings, data)`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rope.bench.answer import Answer as Answer
    from rope.bench.attributes.predict import predict_attribute as predict_attribute
    from rope.bench.evaluation import evaluate as evaluate
    from rope.bench.evaluation import score_one_share as score_one_share
    from rope.bench.one_shot import Draws as Draws
    from rope.bench.queries.evaluation import evaluate_queries as evaluate_queries
    from rope.bench.questions import compare as compare
    from rope.bench.questions import diagnose as diagnose
    from rope.bench.questions import draw_map as draw_map
    from rope.bench.questions import slices as slices
    from rope.bench.questions import tail as tail
    from rope.bench.ranking.engine import ComputeSettings as ComputeSettings
    from rope.bench.recommend.run import score_recommendations as score_recommendations
    from rope.bench.rerank.run import rerank_result as rerank_result
    from rope.bench.rerank.run import rescore_candidates as rescore_candidates
    from rope.bench.result import QuickReport as QuickReport
    from rope.bench.result import Report as Report
    from rope.bench.training import Evaluator as Evaluator
    from rope.bench.training import lightning_callback as lightning_callback
    from rope.bench.training import trainer_callback as trainer_callback

__all__ = [
    "Answer",
    "ComputeSettings",
    "Draws",
    "Evaluator",
    "QuickReport",
    "Report",
    "compare",
    "diagnose",
    "draw_map",
    "evaluate",
    "evaluate_queries",
    "lightning_callback",
    "predict_attribute",
    "rerank_result",
    "rescore_candidates",
    "score_one_share",
    "score_recommendations",
    "slices",
    "tail",
    "trainer_callback",
]

_HOMES: Final = {
    "Answer": "rope.bench.answer",
    "Draws": "rope.bench.one_shot",
    "ComputeSettings": "rope.bench.ranking.engine",
    "QuickReport": "rope.bench.result",
    "Report": "rope.bench.result",
    "evaluate": "rope.bench.evaluation",
    "score_one_share": "rope.bench.evaluation",
    "evaluate_queries": "rope.bench.queries.evaluation",
    "predict_attribute": "rope.bench.attributes.predict",
    "score_recommendations": "rope.bench.recommend.run",
    **dict.fromkeys(("rerank_result", "rescore_candidates"), "rope.bench.rerank.run"),
    **dict.fromkeys(("compare", "diagnose", "draw_map", "slices", "tail"), "rope.bench.questions"),
    **dict.fromkeys(("Evaluator", "lightning_callback", "trainer_callback"), "rope.bench.training"),
}
"""Name -> its module. None is called like a name here: an import of that would put the module in its place."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  what the module has
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rope.bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
