import asyncio
import time

import pytest

from rope.errors import UsageError
from rope.rate_limit import Turns, backoff_s, jitter
from tests.fetch.conftest import limits


def test_pauses_are_spread_evenly_over_the_whole_time():
    shares = [jitter(7, f"{i}.jpg", 1) for i in range(2000)]
    waits = [backoff_s(2, 1.0, 60.0, share) for share in shares]
    assert 0 <= min(waits) < 0.02 < 1.98 < max(waits) < 2
    assert abs(sum(waits) / len(waits) - 1) < 0.05


def test_pauses_depend_on_seed_image_and_try():
    assert len({jitter(*key) for key in [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2)]}) == 4


def turns_of(**changes) -> Turns:
    chosen = limits(**changes)
    return Turns(chosen.connections, chosen.per_host, chosen.requests_per_s)


def timed(host_of_turn: list[str], **changes) -> tuple[float, int]:
    """Seconds for turns of 20 ms each, and how many were taken at once."""

    async def main() -> tuple[float, int]:
        turns, now, most = turns_of(**changes), 0, 0

        async def one(host: str) -> None:
            nonlocal now, most
            async with turns.turn(host):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.02)
                now -= 1

        start = time.monotonic()
        await asyncio.gather(*map(one, host_of_turn))
        return time.monotonic() - start, most

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("hosts", "changes", "most", "seconds"),
    [
        (["a"] * 12, {"per_host": 3}, 3, 0.08),
        (["a", "b"] * 6, {"per_host": 3}, 6, 0.04),
        (["a", "b"] * 6, {"per_host": 3, "connections": 4}, 4, 0.06),
        (["a"] * 5, {"requests_per_s": 20.0}, 1, 0.22),
        (["a", "b"] * 5, {"requests_per_s": 20.0}, 2, 0.22),
    ],
)
def test_turns_are_limited_by_host_in_all_and_by_rate(hosts, changes, most, seconds):
    took, at_once = timed(hosts, **changes)
    assert at_once == most
    assert took >= seconds * 0.98


def test_a_pause_of_one_host_does_not_stop_another():
    async def main() -> list[str]:
        turns, order = turns_of(connections=1), []
        turns.pause("a", 0.1)

        async def one(host: str) -> None:
            async with turns.turn(host):
                order.append(host)

        await asyncio.gather(*map(one, ["a", "b", "b"]))
        return order

    assert asyncio.run(main()) == ["b", "b", "a"]


@pytest.mark.parametrize("changes", [{"connections": 0}, {"requests_per_s": 0.0}, {"tries": -1}, {"max_pixels": 10**9}])
def test_limits_out_of_range_are_refused(changes):
    with pytest.raises(UsageError, match=f"{next(iter(changes))} is"):
        limits(**changes)
