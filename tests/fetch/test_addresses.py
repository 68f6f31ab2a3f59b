import asyncio

import pytest
from aiohttp.abc import AbstractResolver
from yarl import URL

from rope.fetch.addresses import check_host, redirect_target
from rope.fetch.outcome import Fetched, FetchError, FetchJob
from rope.fetch.transfer import Client
from tests.fetch.conftest import limits

FIRST = URL("https://shop.example/a/1.jpg")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("2.jpg", "https://shop.example/a/2.jpg"),
        ("/b/2.jpg", "https://shop.example/b/2.jpg"),
        ("//shop.example/2.jpg", "https://shop.example/2.jpg"),
        ("https://SHOP.example/2.jpg", "https://shop.example/2.jpg"),
        ("https://cdn.example/2.jpg", "https://cdn.example/2.jpg"),
        ("http://cdn.example:8080/2.jpg", "http://cdn.example:8080/2.jpg"),
    ],
)
def test_redirects_inside_a_host_and_to_named_ones_are_followed(location, target):
    allowed = limits(redirect_hosts=frozenset({"cdn.example"}))
    assert redirect_target(FIRST, FIRST, location, allowed) == URL(target)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://other.example/2.jpg", "redirect_refused"),
        ("https://shop.example.other.example/2.jpg", "redirect_refused"),
        ("https://shop.example@other.example/2.jpg", "redirect_refused"),
        ("https://shop.example:8443/2.jpg", "redirect_refused"),
        ("http://shop.example/2.jpg", "redirect_refused"),
        ("http://127.0.0.2/2.jpg", "private_address"),
        ("http://[::ffff:10.0.0.1]/2.jpg", "private_address"),
        ("file:///etc/passwd", "bad_url"),
        ("gopher://shop.example/", "bad_url"),
        ("http://[::1", "bad_url"),
        (None, None),
    ],
)
def test_other_redirects_are_refused(location, reason):
    if reason is None:  # no Location: the same address again, which ends after some rounds
        assert redirect_target(FIRST, FIRST, location, limits()) == FIRST
        return
    with pytest.raises(FetchError) as raised:
        redirect_target(FIRST, FIRST, location, limits())
    assert raised.value.reason == reason


def test_a_redirect_is_compared_with_the_address_asked_for_first():
    through = limits(redirect_hosts=frozenset({"cdn.example"}))
    cdn = URL("https://cdn.example/1.jpg")
    assert redirect_target(FIRST, cdn, "https://shop.example/2.jpg", through).host == "shop.example"
    with pytest.raises(FetchError, match=r"to another host, img\.example"):
        redirect_target(FIRST, cdn, "https://img.example/2.jpg", through)


def test_a_private_host_is_allowed_by_its_name_alone():
    check_host(URL("http://127.0.0.1/"), limits(private_hosts=frozenset({"127.0.0.1"})))
    with pytest.raises(FetchError, match=r"127\.0\.0\.2 is not a public address"):
        check_host(URL("http://127.0.0.2/"), limits(private_hosts=frozenset({"127.0.0.1"})))


class Names(AbstractResolver):
    """Gives each name the addresses of the next list."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=0):
        return [
            {"hostname": host, "host": ip, "port": port, "family": 2, "proto": 6, "flags": 0}
            for ip in self.answers.pop(0)
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"]])
def test_a_name_with_a_private_address_is_not_connected_to(answers, serve):
    server = serve()

    async def fetch(allowed):
        async with Client(f"http://images.example:{server.port}/images/", allowed, Names(answers)) as client:
            return await client.fetch(FetchJob("a.jpg", "a.jpg"))

    lost = asyncio.run(fetch(limits()))
    assert (lost.reason, lost.tries, server.requests.total()) == ("private_address", 1, 0)


def test_a_name_that_turns_private_later_is_refused_then(serve):
    """DNS rebinding: the check at the beginning saw another address than the one to connect to."""
    server = serve()

    async def fetch():
        names = Names(["1.1.1.1"], ["127.0.0.1"])
        async with Client(f"http://images.example:{server.port}/images/", limits(), names) as client:
            await client.check_prefix()
            return await client.fetch(FetchJob("a.jpg", "a.jpg"))

    assert (asyncio.run(fetch()).reason, server.requests.total()) == ("private_address", 0)


def test_a_name_of_ones_own_is_connected_to_where_it_leads(serve):
    server, own = serve(), limits(private_hosts=frozenset({"images.example"}))

    async def fetch():
        async with Client(f"http://images.example:{server.port}/images/", own, Names(["127.0.0.1"])) as client:
            return await client.fetch(FetchJob("a.jpg", "a.jpg"))

    assert isinstance(asyncio.run(fetch()), Fetched)
