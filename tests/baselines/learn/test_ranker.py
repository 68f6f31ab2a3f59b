import pytest

from baselines.learn.ranker import released_figures
from tests.baselines.learn.golden import arrays, stated

CASES = {
    "model_scores": ("scores", "target_ids", None),
    "model_scores_history_masked": ("scores", "target_ids", "history_ids"),
    "tie_scores": ("tie_scores", "tie_labels", None),
    "tie_scores_history_masked": ("tie_scores", "tie_labels", "tie_history"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_released_figures_are_reproduced_to_the_last_bit(case):
    golden = arrays()
    scores, targets, history = (None if name is None else golden[name] for name in CASES[case])
    assert released_figures(scores, targets, history) == stated()["metrics"][case]


def test_a_short_last_batch_counts_as_much_as_the_others():
    golden = arrays()
    parts = [slice(0, 3), slice(3, 6), slice(6, 8)]
    batches = [released_figures(golden["tie_scores"][part], golden["tie_labels"][part]) for part in parts]
    assert batches == stated()["metrics"]["tie_batches_3_3_2"]
    averaged = {name: sum(batch[name] for batch in batches) / 3 for name in batches[0]}
    assert averaged == pytest.approx(stated()["metrics"]["tie_batch_averaged"], abs=1e-7)
