"""A server of embeddings that misbehaves on request: the first time a text asks for it, or for ever."""

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DIM = 6
TOKENS = 10
"""That each input is said to have."""


def vector_of(given, extra=""):
    """What the server makes of a text, or of the bytes of an image."""
    content = given if isinstance(given, bytes) else given.encode()
    seed = int.from_bytes(hashlib.sha256(content + extra.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32).tolist()


class EmbeddingServer:
    """Speaks all four formats; what a text begins with says what goes wrong with the request it is in."""

    def __init__(self):
        self.asked = Counter()
        self.bodies = []
        self.headers = []
        self.at_a_time = self.most_at_a_time = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            self.bodies.append((request.path, body))
            self.headers.append(dict(request.headers))
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            status, kind, content = self._answer(request, body)
        finally:
            with self._lock:  # before the answer is out: whoever has it may ask again
                self.at_a_time -= 1
        with suppress(BrokenPipeError, ConnectionResetError):  # the client did not wait
            request.send_response(status)
            if kind == "busy":
                request.send_header("Retry-After", "1")
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2] if kind == "cut" else content)
        request.close_connection = True

    def _answer(self, request, body):
        inputs, extra = inputs_of(body), body.get("task", "")
        words = {str(one).split(" ")[0] for one in inputs if isinstance(one, str)}
        with self._lock:
            first = not self.asked[str(inputs)]
            self.asked[str(inputs)] += 1
        kind = next((word for word in words if word.startswith(("always-",)) or (first and word in KINDS)), "good")
        vectors = [vector_of(one, extra) for one in inputs]
        content = answer_of(request.path, vectors, kind.removeprefix("always-"))
        kind = kind.removeprefix("always-")
        status = {"busy": 429, "broken": 500, "forbidden": 401}.get(kind, 200)
        if kind == "slow":
            time.sleep(1.0)
        return status, kind, content


KINDS = {"busy", "broken", "cut", "few", "shuffled", "nan", "slow", "zeros", "html", "twice"}


def inputs_of(body):
    if "inputs" in body:
        return body["inputs"]
    if "messages" in body:
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        return [base64.b64decode(url.removeprefix("data:image/png;base64,"))]
    return [
        one if isinstance(one, str) else one["text"] if "text" in one else base64.b64decode(one["image"])
        for one in body["input"]
    ]


def answer_of(path, vectors, kind):
    if kind == "forbidden":
        return b"no such key: secret"
    if kind == "html":
        return b"<html>try later</html>"
    if kind == "few":
        vectors = vectors[:-1]
    if kind == "nan":
        vectors[0][0] = float("nan")
    if kind == "zeros":
        vectors[0] = [0.0] * DIM
    data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    if kind == "shuffled":
        data = data[::-1]
    if kind == "twice":
        data[0]["index"] = len(data) - 1
    if path.endswith("/embed"):
        return json.dumps(vectors).encode()
    return json.dumps({"data": data, "usage": {"total_tokens": TOKENS * len(data)}}).encode()
