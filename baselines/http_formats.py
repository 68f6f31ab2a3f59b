"""What servers of embeddings are asked, and what they answer: OpenAI's, TEI's, vLLM's and Jina's formats."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from baselines.roles import Role

__all__ = ["WITH_IMAGES", "Api", "HttpInput", "HttpVectors", "read_vectors", "request_of"]

Api = Literal["openai", "tei", "vllm", "jina"]

WITH_IMAGES: Final[frozenset[Api]] = frozenset({"vllm", "jina"})
"""The formats that have a place for images."""

HttpInput: TypeAlias = str | bytes
"""A text, or an image as a PNG."""

_JINA_TASKS: Final[dict[Role | None, str]] = {
    None: "text-matching",
    "query": "retrieval.query",
    "gallery": "retrieval.passage",
}


@dataclass(frozen=True, slots=True, eq=False)
class HttpVectors:
    """The answer to one request.

    Attributes:
        rows: float32 [n, dim], in the order of what was asked.
        tokens: what the server says that it counted; 0 where it says nothing.
    """

    rows: npt.NDArray[np.float32]
    tokens: int


def request_of(
    api: Api, model: str, inputs: Sequence[HttpInput], role: Role | None = None, dims: int | None = None
) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request, as JSON.

    >>> request_of("tei", "", ["a cup"])
    ('embed', {'inputs': ['a cup'], 'truncate': True})

    Args:
        api: the format.
        model: its name at the server.
        inputs: texts or images; an image of vLLM is a request of its own.
        role: in which Jina's models embed; the other formats know none.
        dims: of Matryoshka models, where the format has a place for it; None for all.
    """
    if api == "tei":
        return "embed", {"inputs": list(inputs), "truncate": True} | ({} if dims is None else {"dimensions": dims})
    body: dict[str, Any] = {"model": model, "encoding_format": "float"}
    if dims is not None:
        body["dimensions"] = dims
    if api == "jina":
        named = [{"text": one} if isinstance(one, str) else {"image": _base64(one)} for one in inputs]
        del body["encoding_format"]  # floats are its own default, and it has no such value
        return "embeddings", body | {"task": _JINA_TASKS[role], "input": named}
    if isinstance(inputs[0], bytes):
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_base64(inputs[0])}"}}
        return "embeddings", body | {"messages": [{"role": "user", "content": [image]}]}
    return "embeddings", body | {"input": list(inputs)}


def read_vectors(api: Api, content: bytes, n: int) -> HttpVectors:
    """The vectors in the body of an answer, in the order of what was asked.

    >>> read_vectors("openai", b'{"data": [{"index": 1, "embedding": [3]}, {"index": 0, "embedding": [2]}]}', 2).rows
    array([[2.],
           [3.]], dtype=float32)

    Args:
        api: the format.
        content: the body.
        n: vectors that were asked for.

    Raises:
        ValueError: the answer has another form, another number of vectors, places that are not 0 to n - 1 once each, or
            a vector is empty, of another length, no list of finite numbers, or all zeros.
    """
    body = json.loads(content)
    if api == "tei":
        rows, tokens = body, 0
    else:
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise ValueError("an answer without data")
        rows = _in_order(body["data"])
        usage = body.get("usage")
        found = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
        tokens = found if isinstance(found, int) else 0
    if not isinstance(rows, list) or len(rows) != n:
        raise ValueError(f"{len(rows) if isinstance(rows, list) else 'no list of'} vectors for {n} inputs")
    if any(not isinstance(row, list) or not row or len(row) != len(rows[0]) for row in rows):
        raise ValueError("vectors of several lengths, or something else in their place")
    if any(type(value) not in (int, float) or not math.isfinite(value) for row in rows for value in row):
        raise ValueError("a vector with something else than finite numbers")
    with np.errstate(over="ignore"):
        array = np.array(rows, np.float32)
    if not np.isfinite(array).all() or not array.any(axis=1).all():
        raise ValueError("a vector of zeros, or beyond the range of float32")
    return HttpVectors(array, tokens)


def _in_order(data: list[Any]) -> list[Any]:
    """The vectors by their index, which is their place in what was asked, whatever the order of the answer."""
    if any(not isinstance(one, dict) or "embedding" not in one for one in data):
        raise ValueError("an answer without embeddings")
    indices = [one.get("index") for one in data]
    if sorted(indices, key=str) != sorted(range(len(data)), key=str):
        raise ValueError(f"indices {str(indices)[:60]}, expected 0 to {len(data) - 1}, each once")
    return [one["embedding"] for one in sorted(data, key=lambda one: int(one["index"]))]


def _base64(image: bytes) -> str:
    return base64.b64encode(image).decode()
