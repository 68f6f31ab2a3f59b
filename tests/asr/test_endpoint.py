"""A model behind HTTP: what a server does wrong is waited out, given up with a reason, or refused."""

import pytest

from rope.asr.answers import ChatAnswer, UnansweredChat
from rope.asr.endpoint import Endpoint, EndpointOptions, parse_answer
from rope.errors import RopeError, UsageError
from tests.asr.chat_server import ChatServer


@pytest.fixture
def server():
    with ChatServer() as running:
        yield running


def endpoint(server, **changes):
    patience = {"seed": 0, "tries": 3, "backoff_s": 0.02, "timeout_s": 0.5, "concurrency": 4}
    return Endpoint(EndpointOptions(url=server.url, model="tiny", **(patience | changes)))


def ask(model, *texts):
    """Text -> answer, and what was lost."""
    kept = {}
    lost = model.answer(
        [[{"role": "user", "content": text}] for text in texts], lambda i, a: kept.update({texts[i]: a})
    )
    return kept, lost


@pytest.mark.parametrize("kind", ["good", "broken", "garbage", "slow", "busy"])
def test_what_passes_is_tried_again(kind, server):
    kept, lost = ask(endpoint(server), f"{kind} cup")
    assert kept == {f"{kind} cup": ChatAnswer(f"summary of {kind} cup", False, 100, 7)}
    assert lost == []
    assert server.asked[f"{kind} cup"] == (1 if kind == "good" else 2)


def test_a_server_that_asks_for_a_pause_gets_it(server):
    import time

    start = time.monotonic()
    ask(endpoint(server, concurrency=1), "busy cup", "good cup")
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("kind", ["filtered", "refused"])
def test_a_refusal_is_an_answer(kind, server):
    kept, _ = ask(endpoint(server), f"{kind} cup")
    assert kept[f"{kind} cup"].is_refused


def test_a_text_without_an_answer_does_not_keep_the_others(server):
    kept, lost = ask(endpoint(server), "good a", "dead b", "good c")
    assert set(kept) == {"good a", "good c"}
    assert lost == [UnansweredChat(1, "status 503")]
    assert server.asked["dead b"] == 3


def test_a_server_that_is_down_stops_the_run(server):
    with pytest.raises(RopeError, match=r"no answer to 2 texts in a row, each tried 1 times \(status 503\)"):
        ask(endpoint(server, tries=1, max_lost_in_a_row=2), *(f"dead {i}" for i in range(50)))
    assert sum(server.asked.values()) < 10


@pytest.mark.parametrize(("kind", "status"), [("forbidden", "401 .*no such key"), ("moved", "307")])
def test_what_does_not_pass_stops_the_run_at_once(kind, status, server):
    with pytest.raises(UsageError, match=f"status {status}"):
        ask(endpoint(server), f"{kind} cup")
    assert sum(server.asked.values()) == 1


def test_nobody_there(server):
    model = Endpoint(EndpointOptions(url="http://127.0.0.1:1/v1", model="tiny", seed=0, tries=2, backoff_s=0.01))
    kept, lost = ask(model, "good cup")
    assert (kept, len(lost)) == ({}, 1)


def test_no_more_requests_at_a_time_than_allowed(server):
    kept, _ = ask(endpoint(server, concurrency=3), *(f"good {i}" for i in range(40)))
    assert len(kept) == 40
    assert server.largest <= 3


def test_what_is_sent(server):
    ask(endpoint(server, key="secret", max_tokens=5), "good cup")
    (body,), (headers,) = server.bodies, server.headers
    assert body["messages"] == [{"role": "user", "content": "good cup"}]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("tiny", 0, 5)
    assert headers["Authorization"] == "Bearer secret"
    ask(endpoint(server), "good jug")
    assert "Authorization" not in server.headers[-1]


def test_half_a_character_is_replaced():
    assert parse_answer(b'{"choices": [{"message": {"content": "cup \\ud800"}}]}').text == "cup ?"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}'])
def test_another_body_is_no_answer(body):
    with pytest.raises(ValueError, match="not a chat completion"):
        parse_answer(body)


@pytest.mark.parametrize("wrong", [{"url": "localhost:8000"}, {"concurrency": 0}, {"timeout_s": 0.0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UsageError):
        EndpointOptions(**({"url": "http://localhost", "model": "tiny", "seed": 0} | wrong))
