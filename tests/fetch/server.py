"""A web server that misbehaves by a seeded script, on bare sockets, so that it can break HTTP.

Every image name has one behaviour, drawn from the seed and the name, and `SCRIPT` says what a fetch should make of it.
"""

import argparse
import asyncio
import hashlib
import io
import random
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote

from PIL import Image


@dataclass(frozen=True)
class Fate:
    """What becomes of an image: stored if `reason` is None, else in the ledger."""

    share: int
    reason: str | None
    status: int | None = None
    tries: int | None = 1
    """How often it is tried; None for as often as is allowed."""
    requests_a_try: int = 1


SCRIPT = {
    "good": Fate(850, None),
    "good_as_html": Fate(5, None),
    "good_in_chunks": Fate(5, None),
    "good_until_close": Fate(5, None),
    "moved_here": Fate(5, None, requests_a_try=2),
    "429_once": Fate(5, None, tries=2),
    "500_once": Fate(5, None, tries=2),
    "503_once": Fate(5, None, tries=2),
    "reset_once": Fate(5, None, tries=2),
    "truncated_once": Fate(5, None, tries=2),
    "other_bytes_once": Fate(5, None, tries=2),
    "403": Fate(5, "http_status", 403),
    "404": Fate(20, "http_status", 404),
    "429": Fate(2, "http_status", 429, None),
    "500": Fate(5, "http_status", 500, None),
    "503": Fate(5, "http_status", 503, None),
    "reset": Fate(5, "connection", None, None),
    "no_http": Fate(5, "connection", None, None),
    "truncated": Fate(5, "truncated", None, None),
    "truncated_file": Fate(5, "truncated", 200, None),
    "html": Fate(10, "not_an_image", 200),
    "empty": Fate(3, "not_an_image", 200),
    "gzip": Fate(3, "not_an_image", 200),
    "bomb": Fate(5, "too_many_pixels", 200),
    "large_declared": Fate(3, "too_large", 200),
    "large_undeclared": Fate(3, "too_large", 200),
    "slow": Fate(3, "too_slow", 200, None),
    "silent": Fate(3, "timeout", None, None),
    "to_other_host": Fate(5, "redirect_refused", 302),
    "to_private": Fate(5, "private_address", 301),
    "to_file": Fate(3, "bad_url", 301),
    "in_circles": Fate(2, "redirect_refused", 302, requests_a_try=6),
    "other_bytes": Fate(5, "wrong_checksum", 200, None),
}
_KINDS = [kind for kind, fate in SCRIPT.items() for _ in range(fate.share)]


def behaviour_of(seed: int, name: str) -> str:
    return random.Random(f"{seed} {name}").choice(_KINDS)


def jpeg(width: int = 16, height: int = 16, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    noise = Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))
    noise.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


_BASE = jpeg()


def with_comment(image: bytes, text: str) -> bytes:
    """The same picture in a JPEG file of its own: the text goes into a comment segment."""
    comment = text.encode()
    return image[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + image[2:]


def body_of(name: str) -> bytes:
    return with_comment(_BASE, name)


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header declares 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (40_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    rows = zlib.compress(bytes(100_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def digest_of(name: str) -> str:
    return hashlib.sha256(body_of(name)).hexdigest()


def answer(status: str, body: bytes = b"", *headers: str, declared: int | None = None) -> bytes:
    n_bytes = len(body) if declared is None else declared
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {n_bytes}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Server:
    """Serves `/images/NAME`; counts requests by name.

    Attributes:
        behave: name -> a key of SCRIPT.
        bodies: name -> bytes of a good answer.
        retry_after: what 429 and 503 send.
    """

    behave: "callable" = lambda name: "good"
    bodies: "callable" = body_of
    retry_after: str = "0"
    port: int = 0
    requests: Counter = field(default_factory=Counter)
    heads: list[tuple[str, str]] = field(default_factory=list)
    """Target and head of every request, in order."""
    connections: int = 0
    most_connections: int = 0

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self.port}/images/"

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1].decode()
                self.heads.append((unquote(target), head.decode("latin-1")))
                if not await self._answer(unquote(target), writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _answer(self, target: str, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection stays open."""
        name = target.partition("/images/")[2] or target.partition("/moved/")[2]
        self.requests[name] += 1
        kind = "good" if target.startswith("/moved/") else self.behave(name)
        if kind.endswith("_once"):
            kind = "good" if self.requests[name] > 1 else kind.removesuffix("_once")
        body = self.bodies(name)
        if kind == "slow":
            return await _drip(writer)
        if kind == "silent":
            await asyncio.sleep(30)
            return False
        if kind == "reset":
            writer.transport.abort()
            return False
        if kind == "large_undeclared":
            return await _flood(writer)
        writer.write(self._whole_answers(name, kind, body))
        await writer.drain()
        return kind not in ("truncated", "good_until_close", "no_http")

    def _whole_answers(self, name: str, kind: str, body: bytes) -> bytes:
        location = {
            "moved_here": f"/moved/{name}",
            "to_other_host": f"http://elsewhere.example/{name}",
            "to_private": "http://169.254.169.254/latest/meta-data",
            "to_file": "file:///etc/passwd",
            "in_circles": f"/images/{name}",
        }
        page = b"<!doctype html><title>404</title>" + b"not found " * 50
        pause = f"Retry-After: {self.retry_after}"
        jpg = "Content-Type: image/jpeg"
        chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        answers = {
            "good": lambda: answer("200 OK", body, jpg),
            "good_as_html": lambda: answer("200 OK", body, "Content-Type: text/html"),
            "good_in_chunks": lambda: chunks % (len(body), body),
            "good_until_close": lambda: b"HTTP/1.0 200 OK\r\n\r\n" + body,
            "403": lambda: answer("403 Forbidden", page),
            "404": lambda: answer("404 Not Found", page),
            "429": lambda: answer("429 Too Many Requests", b"", pause),
            "500": lambda: answer("500 Internal Server Error", page),
            "503": lambda: answer("503 Service Unavailable", b"", pause),
            "no_http": lambda: b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
            "truncated": lambda: answer("200 OK", body[: len(body) // 2], jpg, declared=len(body)),
            "truncated_file": lambda: answer("200 OK", body[: len(body) - 40], jpg),
            "html": lambda: answer("200 OK", page, jpg),
            "empty": lambda: answer("200 OK", b"", jpg),
            "gzip": lambda: answer("200 OK", zlib.compress(body, wbits=31), jpg, "Content-Encoding: gzip"),
            "bomb": lambda: answer("200 OK", bomb(), "Content-Type: image/png"),
            "large_declared": lambda: answer("200 OK", b"\xff\xd8", jpg, declared=1 << 40),
            "other_bytes": lambda: answer("200 OK", self.bodies("another"), jpg),
        }
        if kind in location:
            status = "301 Moved Permanently" if kind in ("to_private", "to_file") else "302 Found"
            return answer(status, b"", f"Location: {location[kind]}")
        return answers[kind]()


async def _drip(writer: asyncio.StreamWriter) -> bool:
    """A body that goes on for ever, a few bytes a second."""
    writer.write(answer("200 OK", b"\xff\xd8", declared=100_000))
    while True:
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"\0")


async def _flood(writer: asyncio.StreamWriter) -> bool:
    """A body that goes on for ever, as fast as it can."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


class ServerThread:
    """Runs a server in a thread of this process; a context manager."""

    def __init__(self, **settings) -> None:
        self.server = Server(**settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()

    def __enter__(self) -> Server:
        self._thread.start()
        self._started.wait()
        return self.server

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self.server.start())
        self._started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()


def main() -> None:
    """Serve photo-sized images in its own process; prints the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--min-bytes", type=int, default=20_000)
    parser.add_argument("--max-bytes", type=int, default=60_000)
    arguments = parser.parse_args()
    pool = photo_pool(arguments.min_bytes, arguments.max_bytes)

    async def serve() -> None:
        server = Server(bodies=lambda name: with_comment(pool[zlib.crc32(name.encode()) % len(pool)], name))
        listening = await server.start()
        print(server.port, flush=True)
        async with listening:
            await listening.serve_forever()

    asyncio.run(serve())


def photo_pool(min_bytes: int, max_bytes: int) -> list[bytes]:
    """JPEG files of noise whose sizes spread over a range."""
    pool = [jpeg(16 * side, 16 * side, side) for side in range(1, 40)]
    return [image for image in pool if min_bytes <= len(image) <= max_bytes]


if __name__ == "__main__":
    main()
