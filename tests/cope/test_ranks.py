"""Several processes do what one does with the same global batch."""

import pytest
import torch

from cope.ranks import (
    ALONE,
    ProcessRank,
    current_ranks,
    gather_for_copies,
    gather_for_parts,
    shard_bounds,
    undo_average,
)
from tests.cope.golden import below, golden, largest, relative
from tests.cope.several import JOBS, run_in_processes


@pytest.mark.parametrize(("n", "size"), [(7, 2), (7, 3), (3, 3), (187_431, 16), (2, 4), (0, 2)])
def test_shares_are_contiguous_and_as_equal_as_can_be(n, size):
    bounds = [shard_bounds(n, ProcessRank(rank, size)) for rank in range(size)]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == n
    sizes = [stop - start for start, stop in bounds]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


def test_a_process_alone_has_nothing_to_gather():
    rows = torch.ones(2, 3, requires_grad=True)
    assert current_ranks() == ALONE
    assert all(action(rows, ALONE) is rows for action in (gather_for_copies, gather_for_parts, undo_average))


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_outside_its_group_is_refused(rank, size):
    with pytest.raises(ValueError, match=f"rank {rank} of {size}"):
        ProcessRank(rank, size)


def test_undoing_the_average_multiplies_the_gradient_alone():
    rows = torch.ones(2, requires_grad=True)
    same = undo_average(rows, ProcessRank(1, 4))
    assert torch.equal(same, rows)
    (same.sum() + rows.sum()).backward()
    assert rows.grad.tolist() == [5, 5]


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """What each job returns on two processes; all jobs in one start, which is what takes the time."""
    return run_in_processes(list(JOBS), 2, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
def test_the_authors_two_processes(on_two):
    """Of their contrastive gradient, averaging leaves a half; ours is twice theirs. The others are the same."""
    arrays = golden("world2")
    for rank, found in enumerate(on_two["authors_case"]):
        theirs = below(arrays, f"rank{rank}.")
        assert found["start"] == theirs["pfc_class_start"]
        assert found["classified"].item() == pytest.approx(theirs["pfc_loss"].item(), abs=1e-4)
        assert found["contrasted"].item() == pytest.approx(theirs["contrastive_loss"].item(), abs=1e-4)
        assert relative(found["classified_a"], theirs["pfc_grad_embeddings"]) < 1e-4
        assert relative(found["centres"], theirs["pfc_grad_weight_shard"]) < 1e-4
        assert relative(found["contrasted_a"], 2 * theirs["contrastive_grad_a"]) < 1e-4
        assert relative(found["contrasted_b"], 2 * theirs["contrastive_grad_b"]) < 1e-4
        assert torch.equal(found["whole"], arrays["in.weight"])


@pytest.mark.slow
def test_two_processes_train_the_same_parameters_as_one(on_two):
    expected = JOBS["train_small"](ALONE)
    for found in on_two["train_small"]:
        far = {name: relative(found[name], expected[name]) for name in expected}
        assert {name: error for name, error in far.items() if error > 1e-5} == {}


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_for_the_whole_model(on_two):
    expected = JOBS["differentiate_cope"](ALONE)
    size = max(largest(gradient) for gradient in expected.values())
    for found in on_two["differentiate_cope"]:
        far = {name: largest(found[name] - expected[name]) / size for name in expected}
        assert {name: error for name, error in far.items() if error > 1e-5} == {}
