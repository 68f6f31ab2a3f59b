"""Which packets of a video have to be decoded for a few of its frames."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Packet", "PacketRange", "plan_runs", "presentation_order"]


class Packet(NamedTuple):
    """What the plan needs to know of a packet.

    Attributes:
        time: of presentation, in any unit.
        is_key: decoding can begin here.
        is_shown: the file shows its frame; others are decoded for the sake of those that follow.
    """

    time: int
    is_key: bool
    is_shown: bool = True


class PacketRange(NamedTuple):
    """Packets `first` to `last` of a file, both included, that are decoded one after the other."""

    first: int
    last: int


def presentation_order(packets: Sequence[Packet]) -> list[int]:
    """The places of the packets that are shown, in the order of their times.

    >>> presentation_order([Packet(0, True), Packet(3, False), Packet(1, False), Packet(2, False)])
    [0, 2, 3, 1]
    """
    shown = [place for place, packet in enumerate(packets) if packet.is_shown]
    return sorted(shown, key=lambda place: packets[place].time)


def plan_runs(packets: Sequence[Packet], wanted: Iterable[int]) -> list[PacketRange]:
    """The fewest packets that give the frames of the `wanted` ones.

    A frame needs everything from the last key packet that stands before it and is shown no later than it: what comes
    after a key packet but is shown before it (an open group of pictures) refers to the group before.

    Args:
        packets: all packets of the stream, in the order of the file.
        wanted: places in it.

    >>> group = [Packet(0, True), Packet(2, False), Packet(1, False)]
    >>> packets = [packet._replace(time=packet.time + start) for start in (0, 3, 6) for packet in group]
    >>> plan_runs(packets, [1, 2, 7])
    [PacketRange(first=0, last=2), PacketRange(first=6, last=7)]
    """
    runs: list[PacketRange] = []
    for needed in sorted(PacketRange(_start_of(packets, place), place) for place in wanted):
        if runs and needed.first <= runs[-1].last + 1:
            runs[-1] = PacketRange(runs[-1].first, max(runs[-1].last, needed.last))
        else:
            runs.append(needed)
    return runs


def _start_of(packets: Sequence[Packet], place: int) -> int:
    starts = (i for i in range(place, -1, -1) if packets[i].is_key and packets[i].time <= packets[place].time)
    return next(starts, 0)
