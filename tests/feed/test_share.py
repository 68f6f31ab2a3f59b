import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.errors import UsageError
from rope.feed.share import ProcessShare, count_steps, plan_steps

n_items, batch_sizes, worlds = st.integers(1, 60), st.integers(1, 7), st.integers(1, 5)


def all_ranks(n, start, batch_size, world_size, drop_last):
    return [
        list(plan_steps(n, start, batch_size, ProcessShare(rank, world_size), drop_last=drop_last))
        for rank in range(world_size)
    ]


@given(n_items, batch_sizes, worlds, st.booleans())
def test_ranks_get_equal_batches_without_overlap(n, batch_size, world_size, drop_last):
    ranks = all_ranks(n, 0, batch_size, world_size, drop_last)
    assert len({tuple(len(step.places) for step in steps) for steps in ranks}) == 1
    assert {len(steps) for steps in ranks} == {
        count_steps(n, batch_size, ProcessShare(0, world_size), drop_last=drop_last)
    }
    places = [place for steps in ranks for step in steps for place in step.places]
    assert len(places) - len(set(places)) < world_size
    assert n - len(set(places)) < (batch_size * world_size if drop_last else 1)


@given(n_items, batch_sizes, worlds, st.booleans(), st.data())
def test_steps_from_a_place_are_the_end_of_the_steps_from_the_first(n, batch_size, world_size, drop_last, data):
    for steps in all_ranks(n, 0, batch_size, world_size, drop_last):
        k = data.draw(st.integers(0, len(steps)))
        start = steps[k - 1].end if k else 0
        rest = all_ranks(n, start, batch_size, world_size, drop_last)
        assert steps[k:] in rest


def test_an_epoch_goes_on_with_another_number_of_ranks_and_batch_size():
    (first,) = all_ranks(20, 0, 4, 1, drop_last=False)
    ranks = all_ranks(20, first[1].end, 3, 2, drop_last=False)
    places = {place for step in first[:2] for place in step.places} | {p for r in ranks for s in r for p in s.places}
    assert places == set(range(20))


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(rank, world_size):
    with pytest.raises(UsageError, match=f"rank {rank} of {world_size}"):
        ProcessShare(rank, world_size)
