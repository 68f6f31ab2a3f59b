"""Asks a server of embeddings, by the loop of `rope.http_requests`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from baselines.http_formats import Api, HttpInput, HttpVectors, read_vectors, request_of
from baselines.roles import Role
from rope.config import Count
from rope.errors import RopeError, UsageError
from rope.http_requests import HttpQuestions, HttpService, ask_all, refusal

__all__ = ["HttpClient", "HttpServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer(HttpService):
    """Where to ask for embeddings, and how hard; see `rope.http_requests.HttpService`.

    Attributes:
        api: the format.
        dims: numbers of a vector to ask for; None for what the model has.
        batch: inputs of one request.

    Raises:
        UsageError: the URL is none of the web, a number is out of range, or the model has no name.
    """

    api: Api = "openai"
    dims: Count | None = None
    batch: Count = 32

    def __post_init__(self) -> None:
        HttpService.__post_init__(self)
        if self.api != "tei" and not self.model:
            raise UsageError(f"api={self.api}: give the name of the model at the server, model=...")


class HttpClient:
    """Embeds texts and images at a server.

    Attributes:
        tokens: what the server has counted so far, in answers that were taken.
        n_requests: requests made so far, those that failed among them.
    """

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.tokens = 0
        self.n_requests = 0

    def embed(self, inputs: Sequence[HttpInput], role: Role | None) -> npt.NDArray[np.float32]:
        """The vectors of texts or images, float32 [n, dim].

        Raises:
            UsageError: the server refuses what is asked, such as the key or the name of the model.
            RopeError: it gives no vectors for some inputs, however often it is asked.
        """
        server = self._server
        is_one_each = server.api == "vllm" and bool(inputs) and isinstance(inputs[0], bytes)
        step = 1 if is_one_each else server.batch
        parts = [inputs[start : start + step] for start in range(0, len(inputs), step)]
        found: dict[int, npt.NDArray[np.float32]] = {}

        def request(index: int) -> tuple[str, dict[str, Any]]:
            return request_of(server.api, server.model, parts[index], role, server.dims)

        def read(index: int, status: int, content: bytes) -> HttpVectors:
            if status != 200:
                raise refusal(server, status, content)
            return read_vectors(server.api, content, len(parts[index]))

        def keep(index: int, answer: HttpVectors) -> None:
            self.tokens += answer.tokens
            found[index] = answer.rows

        ask_all(server, HttpQuestions(len(parts), request, read, keep, self._give_up, begun=self._count))
        rows = [found[index] for index in range(len(parts))]
        if len({one.shape[1] for one in rows}) > 1:
            raise RopeError(f"{server.url}: vectors of several lengths for inputs of one call")
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    def _count(self) -> None:
        self.n_requests += 1

    def _give_up(self, _: int, reason: str) -> None:
        raise RopeError(
            f"{self._server.url}: no vectors after {self._server.tries} tries ({reason}); what was embedded is kept: "
            "run the same command again when the server is well"
        )
