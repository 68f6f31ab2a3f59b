from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.media.packets import Packet, PacketRange, plan_runs, presentation_order

CLOSED = [Packet(time, time % 5 == 0) for time in range(20)]
OPEN = [Packet(0, True), Packet(2, False), Packet(1, False), Packet(4, True), Packet(3, False), Packet(5, False)]


@pytest.mark.parametrize(
    ("packets", "wanted", "runs"),
    [
        (CLOSED, [], []),
        (CLOSED, [0], [PacketRange(0, 0)]),
        (CLOSED, [3, 12], [PacketRange(0, 3), PacketRange(10, 12)]),
        (CLOSED, [12, 3, 13], [PacketRange(0, 3), PacketRange(10, 13)]),
        (CLOSED, [4, 7], [PacketRange(0, 7)]),
        (OPEN, [3], [PacketRange(3, 3)]),
        (OPEN, [4], [PacketRange(0, 4)]),
        (OPEN, [3, 4], [PacketRange(0, 4)]),
        ([Packet(0, False), Packet(1, False)], [1], [PacketRange(0, 1)]),
    ],
)
def test_a_run_begins_where_decoding_can(packets, wanted, runs):
    assert plan_runs(packets, wanted) == runs


@given(st.data())
def test_every_wanted_packet_is_in_a_run_from_its_key_packet(data):
    keys = data.draw(st.lists(st.booleans(), min_size=1, max_size=40))
    packets = [Packet(time, key) for time, key in zip(data.draw(st.permutations(range(len(keys)))), keys, strict=True)]
    wanted = data.draw(st.lists(st.integers(0, len(keys) - 1), unique=True))
    runs = plan_runs(packets, wanted)
    assert all(one.last + 1 < other.first for one, other in pairwise(runs))
    for place in wanted:
        (run,) = [run for run in runs if run.first <= place <= run.last]
        usable = [i for i in range(place + 1) if packets[i].is_key and packets[i].time <= packets[place].time]
        assert run.first <= (usable[-1] if usable else 0)


def test_what_is_not_shown_has_no_place_in_the_presentation():
    assert presentation_order([Packet(-1, True, False), Packet(3, False), Packet(2, False)]) == [2, 1]
