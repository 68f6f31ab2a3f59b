"""A model behind HTTP: what a server does wrong is waited out, put in order or refused, and never a vector."""

import numpy as np
import pytest

from baselines.http import embedder
from baselines.http_client import HttpClient, HttpServer
from baselines.http_formats import read_vectors
from baselines.roles import InRoles
from rope.bench.evaluation import evaluate
from rope.bench.running.embedder import find_embedder, has_roles
from rope.bench.running.run import run_embedder
from rope.domain import Sample
from rope.errors import RopeError, UsageError
from rope.media import decode_frames
from tests.baselines.embedding_server import DIM, TOKENS, EmbeddingServer, vector_of
from tests.baselines.samples import samples
from tests.bench.running.test_run import write_dataset


@pytest.fixture
def server():
    with EmbeddingServer() as running:
        yield running


def client(server, **changes):
    patience = {"tries": 3, "backoff_s": 0.02, "timeout_s": 0.5, "concurrency": 4, "model": "tiny", "batch": 3}
    return HttpClient(HttpServer(url=server.url, **(patience | changes)))


@pytest.mark.parametrize("kind", ["good", "broken", "cut", "few", "nan", "slow", "busy", "zeros", "html", "twice"])
def test_what_passes_is_tried_again(kind, server):
    asked = client(server)
    texts = [f"{kind} cup", "a plate", "a spoon", "a fork"]
    assert np.array_equal(asked.embed(texts, None), np.float32([vector_of(text) for text in texts]))
    assert asked.n_requests == (2 if kind == "good" else 3)
    assert asked.tokens == 4 * TOKENS


def test_vectors_come_by_their_index(server):
    texts = ["shuffled cup", "a plate", "a spoon"]
    asked = client(server)
    assert np.array_equal(asked.embed(texts, None), np.float32([vector_of(text) for text in texts]))
    assert asked.n_requests == 1


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("broken", "status 500"),
        ("few", "2 vectors for 3 inputs"),
        ("nan", "finite numbers"),
        ("twice", "indices"),
        ("html", "an answer that cannot be taken"),
    ],
)
def test_what_does_not_pass_ends_the_run_and_says_why(kind, why, server):
    with pytest.raises(RopeError, match=f"no vectors after 3 tries .*{why}.*run the same command again"):
        client(server).embed([f"always-{kind} cup", "a plate", "a spoon"], None)


def test_a_refusal_is_not_tried_again_and_hides_the_key(server):
    with pytest.raises(UsageError, match="status 401") as caught:
        client(server, key="secret").embed(["always-forbidden cup"], None)
    assert "secret" not in str(caught.value)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert len(server.bodies) == 1


def test_no_more_requests_go_out_than_allowed(server):
    import time

    texts = [f"text {i}" for i in range(12)]
    client(server, concurrency=2, batch=1).embed(texts, None)
    assert server.most_at_a_time <= 2
    start = time.monotonic()
    client(server, per_second=20, batch=1).embed(texts[:7], None)
    assert time.monotonic() - start >= 0.28


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[[1, true]]",
        b'[["1", 2]]',
        b"[[]]",
        b"[[1e39]]",
        b"[[1, 2], [1]]",
        b'{"data": [{"embedding": [1]}]}',
        b'{"data": [{"index": 0}]}',
        b'{"data": 3}',
    ],
)
def test_nothing_else_is_taken_for_a_vector(content):
    for api in ("tei", "openai"):
        with pytest.raises((ValueError, TypeError)):
            read_vectors(api, content, 1)


def quick_options(server, **changes):
    return {"url": server.url, "model": "tiny", "tries": "2", "timeout": "5"} | changes


@pytest.mark.parametrize("api", ["openai", "tei"])
def test_texts_alone_are_embedded_and_samples_without_one_have_no_vector(api, server):
    model = embedder(**quick_options(server, api=api))
    given = [*samples("page", 2), *samples("page", 1, text=None, seed=1)]
    rows = model.embed(given)
    expected = np.array([vector_of(sample.text) for sample in given[:2]])
    assert np.allclose(rows[:2], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert np.isnan(rows[2]).all()
    assert server.bodies[0][0] == ("/v1/embed" if api == "tei" else "/v1/embeddings")
    with pytest.raises(UsageError, match="takes texts and no images"):
        embedder(**quick_options(server, api=api, text_weight="0.5"))


@pytest.mark.parametrize("api", ["vllm", "jina"])
def test_images_are_sent_as_they_are_decoded(api, server):
    model = embedder(**quick_options(server, api=api, text_weight="0", roles="one"))
    given = samples("video", 2, n_frames=2)
    rows = model.embed(given)
    import io

    from PIL import Image

    for sample, row in zip(given, rows, strict=True):
        vectors = []
        for frame in decode_frames(sample, 2):
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "PNG")
            vectors.append(vector_of(buffer.getvalue(), "text-matching" if api == "jina" else ""))
        unit = np.array([np.array(one) / np.linalg.norm(one) for one in vectors]).mean(axis=0)
        assert np.allclose(row, unit / np.linalg.norm(unit), atol=1e-6)


def test_roles_become_the_tasks_of_jina_and_prompts_elsewhere(server):
    given = samples("page", 1)
    model = embedder(**quick_options(server, api="jina", text_weight="1"))
    assert has_roles(model)
    model.embed(given, role="query")
    model.embed(given, role="gallery")
    assert [body["task"] for _, body in server.bodies] == ["retrieval.query", "retrieval.passage"]
    prompted = embedder(**quick_options(server, query_prompt="find: "))
    prompted.embed(given, role="query")
    assert server.bodies[-1][1]["input"] == [f"find: {given[0].text}"]
    assert not has_roles(embedder(**quick_options(server)))


def test_a_run_goes_on_where_a_server_stopped_it_and_tells_the_cost(tmp_path, monkeypatch):
    data = write_dataset(tmp_path / "data", counts={"page": 20, "video": 9, "live": 8})
    monkeypatch.setattr("rope.bench.running.run._BATCHES_A_PART", 1)
    out = tmp_path / "e.parquet"

    def run(server, **changes):
        options = quick_options(server, tries="1", price="2", **changes)
        spec = "baselines:http?" + "&".join(f"{name}={value}" for name, value in options.items())
        model, origin = find_embedder(spec)
        done = []
        run_embedder(model, data, out, batch_size=4, progress=False, origin=origin, report=done.append)
        return model, done[0]

    with EmbeddingServer() as stopping:
        answer, calls = stopping._answer, []

        def stop(request, body):
            calls.append(body)
            return (503, "broken", b"") if len(calls) > 5 else answer(request, body)

        stopping._answer = stop
        with pytest.raises(RopeError, match="what was embedded is kept"):
            run(stopping)
    with EmbeddingServer() as server:
        model, done = run(server, concurrency="2", batch="2")
        assert 0 < done.n_kept < 37
        assert done.n_kept + done.n_embedded == 37
        tokens = sum(TOKENS * len(body["input"]) for _, body in server.bodies)
        assert f"{tokens:,} tokens, {tokens * 2 / 1e6:,.4f} at 2 a million" in model.spent
    assert evaluate(out, data, quick=True).headline >= 0


def test_a_text_model_scores_a_domain_with_samples_without_a_text(server, tmp_path):
    model = embedder(**quick_options(server))
    assert np.isnan(model.embed([Sample("1", "live", None, ())])).all()
    assert model.embed([Sample("1", "live", "a cup", ())]).shape == (1, DIM)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://x"}, "begins with http"),
        ({"url": "http://user:key@x"}, "without a key"),
        ({"api": "cohere"}, "api"),
        ({"model": ""}, "give the name of the model"),
        ({"key_env": "NO_SUCH_VARIABLE"}, "no such variable"),
        ({"device": "cuda"}, "the server chooses its own"),
        ({"batch": "0"}, "batch"),
        ({"prise": "3"}, "prise"),
    ],
)
def test_options_that_do_not_fit_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        embedder(**({"url": "http://localhost:1/v1", "model": "tiny"} | options))


def test_a_run_in_roles_ranks_samples_without_a_text_last(server, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rope.schema import SAMPLE_SCHEMA

    data = write_dataset(tmp_path / "data", counts={"page": 6, "video": 4, "live": 4})
    shard = data / "pages/validation-00000-of-00001.parquet"
    rows = pq.read_table(shard).to_pylist()
    rows[2]["text"] = None
    pq.write_table(pa.Table.from_pylist(rows, SAMPLE_SCHEMA), shard)
    inner = embedder(**quick_options(server, query_prompt="find: "))._inner
    assert isinstance(inner, InRoles)
    out = run_embedder(inner, data, tmp_path / "e.parquet", progress=False)
    report = evaluate(out, data, missing="given")
    note = report.to_dict()["embeddings"]["page"]
    assert (note["n_without_vector"], note["n_query_vectors"]) == (1, 5)
