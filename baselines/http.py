"""A model behind HTTP as an embedder: OpenAI's embeddings, text-embeddings-inference, vLLM, Jina.

rope-bench run --model 'baselines:http?url=http://localhost:8000/v1&api=vllm&model=Qwen/Qwen3-VL-Embedding-2B' ...
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from baselines.fusion import FusedEmbedder, PooledImages
from baselines.http_client import HttpClient, HttpServer
from baselines.http_formats import WITH_IMAGES, Api
from baselines.options import EmbeddingOptions, read_options
from baselines.roles import InRoles, Prompts, Role, read_roles
from rope.bench.running.embedder import Embedder
from rope.config import NonNegative, value_of_text
from rope.domain import Sample
from rope.encoders.identity import fingerprint_of
from rope.errors import UsageError

__all__ = ["HttpEmbedder", "HttpModel", "HttpTexts", "embedder"]

_PACE: Final = frozenset({"batch", "concurrency", "per_second", "tries", "timeout", "price", "key_env", "url"})
"""Options that say where and how fast to ask, and what it costs: a run can go on with others."""

_OWN: Final = _PACE | {"api", "model", "dims"}


class HttpModel:
    """Texts and images through a server, see `baselines.fusion.ImageEncoder`.

    Attributes:
        fingerprint: of what decides a vector, as far as it is known here: format, model, dimensions, role and prompt.
            The address is left out, and so is what the server runs; vectors kept from an earlier run are compared.
        has_text: True.
        has_images: whether the format has a place for them.
        thread_safe: False, as requests go out at the same time anyhow.
    """

    thread_safe: bool = False
    has_text: bool = True

    def __init__(
        self, client: HttpClient, server: HttpServer, role: Role | None = None, prompt: str | None = None
    ) -> None:
        self._client, self._server, self._role, self._prompt = client, server, role, prompt or ""
        self.has_images = server.api in WITH_IMAGES
        told = [server.api, server.model, server.dims, role, self._prompt]
        self.fingerprint = hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def in_role(self, role: Role, prompt: str | None) -> "HttpModel":
        """The same model in a role."""
        return HttpModel(self._client, self._server, role, prompt)

    def prepare(self, image: npt.NDArray[np.uint8]) -> bytes:
        """The image as a PNG, which loses nothing."""
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    def encode_images(self, prepared: Sequence[bytes]) -> torch.Tensor:
        """float32 [n, dim] of n images."""
        return torch.from_numpy(self._client.embed(list(prepared), self._role))

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, dim] of n texts."""
        return torch.from_numpy(self._client.embed([self._prompt + text for text in texts], self._role))


class HttpTexts:
    """A model of texts behind HTTP: the text of every sample, and no vector of one without.

    Attributes:
        name: what reports call it.
        fingerprint: see `HttpModel`.
        abstains: True, see `rope.bench.running.embedder.Embedder`.
    """

    abstains: bool = True

    def __init__(self, name: str, encoder: HttpModel, options: EmbeddingOptions) -> None:
        self.name = name
        self._encoder, self._options = encoder, options
        self.fingerprint = fingerprint_of([encoder.fingerprint, options])

    def embed(self, samples: Sequence[Sample]) -> npt.NDArray[np.float32]:
        """float32 [n, dim], every row of length 1, or NaN where a sample has no text that is read."""
        texts = [self._options.text_of(sample) for sample in samples]
        there = [i for i, text in enumerate(texts) if text is not None]
        found = self._encoder.encode_texts([text for text in texts if text is not None])
        rows = np.full((len(samples), max(1, found.shape[1])), np.nan, np.float32)
        if there:
            rows[there] = torch.nn.functional.normalize(found, dim=-1).numpy()
        return rows


class HttpEmbedder:
    """An embedder of a model behind HTTP, with what it has cost.

    Attributes:
        name: what reports call it.
        fingerprint: see `HttpModel`.
        abstains: True, see `rope.bench.running.embedder.Embedder`.
        elsewhere: likewise.
    """

    abstains: bool = True
    elsewhere: frozenset[str] = _PACE

    def __init__(self, inner: Embedder, client: HttpClient, price: float | None) -> None:
        self.name = inner.name
        self.fingerprint: str = getattr(inner, "fingerprint", "")
        self._inner, self._client, self._price = inner, client, price
        self.embed = inner.embed

    @property
    def spent(self) -> str:
        """What this process has asked of the server, in a sentence."""
        tokens, n = self._client.tokens, self._client.n_requests
        cost = "" if self._price is None else f", {tokens * self._price / 1e6:,.4f} at {self._price:g} a million"
        return f"{self.name}: {n:,} requests, {tokens:,} tokens{cost}"


def embedder(url: str, **given: str) -> HttpEmbedder:
    """The embedder of `baselines:http?url=https://api.openai.com/v1&model=text-embedding-3-small&key_env=OPENAI_API_KEY`.

    Args:
        url: what the path of the format is added to.
        **given: `api` (openai, tei, vllm or jina), `model`, `dims`, `key_env`: the environment variable that has the
            key; `batch`, `concurrency`, `per_second`, `tries` and `timeout` (in seconds); `price` of a million tokens,
            in any currency; those of `baselines.options.EmbeddingOptions` but `device` and `precision`, and of
            `baselines.roles.read_roles`.

    Raises:
        UsageError: an option does not fit, or the variable has no key.
    """
    prompts, rest = read_roles(given)
    own = {name: rest.pop(name) for name in _OWN & set(rest)}
    for name in ("device", "precision"):
        if name in rest:
            raise UsageError(f"{name}: the server chooses its own")
    server = _server(url, own)
    options = read_options(rest, EmbeddingOptions() if server.api in WITH_IMAGES else EmbeddingOptions(text_weight=1))
    client = HttpClient(server)
    encoder, name = HttpModel(client, server), (server.model or server.url).rstrip("/").rpartition("/")[2]
    if not encoder.has_images and options.text_weight != 1:
        raise UsageError(f"api={server.api} takes texts and no images; give text_weight=1, or leave it out")

    def made_of(one: HttpModel) -> Embedder:
        if not one.has_images:
            return HttpTexts(name, one, options)
        return FusedEmbedder(name, PooledImages(one, options.pool), options)

    price = value_of_text(NonNegative, own["price"], "price") if "price" in own else None
    return HttpEmbedder(_in_roles(name, encoder, made_of, prompts, server.api), client, price)


def _in_roles(
    name: str, encoder: HttpModel, made_of: Callable[[HttpModel], Embedder], prompts: Prompts, api: Api
) -> Embedder:
    if prompts.roles == "two" or (prompts.roles == "auto" and api == "jina"):
        return InRoles(name, lambda role, prompt: made_of(encoder.in_role(role, prompt)), prompts)
    return made_of(encoder)


def _server(url: str, own: Mapping[str, str]) -> HttpServer:
    hints = {field.name: field.type for field in fields(HttpServer)}
    names = {"timeout": "timeout_s"}
    values = {
        names.get(name, name): value_of_text(hints[names.get(name, name)], text, name)
        for name, text in own.items()
        if name not in ("key_env", "price")
    }
    variable = own.get("key_env")
    key = None if variable is None else os.environ.get(variable)
    if variable is not None and not key:
        raise UsageError(f"key_env={variable}: the environment has no such variable, or an empty one")
    return HttpServer(url=url, key=key, **values)
