from math import isnan

import numpy as np
import pytest

from rope.curation.annotation.agreement import adjudicate, dawid_skene, krippendorff_alpha


def test_alpha_is_that_of_the_published_example():
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, example B: nominal, four observers, gaps."""
    table = {
        "a": "1 2 3 3 2 1 4 1 2 . . .",
        "b": "1 2 3 3 2 2 4 1 2 5 . 3",
        "c": ". 3 3 3 2 3 4 2 2 5 1 .",
        "d": "1 2 3 3 2 4 4 1 2 5 1 .",
    }
    votes = [(str(i), who, v) for who, row in table.items() for i, v in enumerate(row.split()) if v != "."]
    assert krippendorff_alpha(votes) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("votes", [[], [("t", "a", "x")], [("t", "a", "x"), ("t", "b", "x")]])
def test_alpha_says_nothing_where_there_is_nothing_to_compare(votes):
    assert isnan(krippendorff_alpha(votes))


def simulate(rng, n_tasks, accuracies):
    truth = rng.choice(["different", "same"], n_tasks, p=[0.7, 0.3])
    votes = [
        (f"t{i:04d}", f"a{j}", true if rng.random() < accuracy else {"same": "different", "different": "same"}[true])
        for i, true in enumerate(truth)
        for j, accuracy in enumerate(accuracies)
    ]
    return {f"t{i:04d}": true for i, true in enumerate(truth)}, votes


def test_good_annotators_outweigh_bad_ones():
    truth, votes = simulate(np.random.default_rng(0), 500, [0.95, 0.9, 0.55, 0.55, 0.55])
    estimate = dawid_skene(votes)
    assert list(estimate.accuracy().values()) == pytest.approx([0.95, 0.9, 0.55, 0.55, 0.55], abs=0.07)
    labels = adjudicate(estimate, 0.5)
    right = np.mean([labels[task] == true for task, true in truth.items()])
    ballot = {task: [v for t, _, v in votes if t == task] for task in truth}
    majority = np.mean([max(set(vs), key=vs.count) == truth[task] for task, vs in ballot.items()])
    assert right > majority + 0.04


def test_known_tasks_stay_as_they_are_known():
    estimate = dawid_skene([("t", "a", "same"), ("t", "b", "same")], known={"t": "different", "absent": "same"})
    assert adjudicate(estimate)["t"] == "different"


def test_known_tasks_expose_those_who_agree_on_what_is_wrong():
    truth, votes = simulate(np.random.default_rng(1), 300, [0.9, 0.2, 0.2])
    known = {task: true for task, true in truth.items() if task < "t0060"}
    labels = adjudicate(dawid_skene(votes, known), 0.5)
    assert np.mean([labels[task] == true for task, true in truth.items()]) > 0.88


def test_what_is_not_sure_is_asked_again():
    labels = adjudicate(dawid_skene([("t", "a", "same"), ("t", "b", "different")]))
    assert labels == {"t": None}


def test_without_votes_there_is_nothing_to_estimate():
    with pytest.raises(ValueError, match="no votes"):
        dawid_skene([])
