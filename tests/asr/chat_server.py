"""A chat endpoint that misbehaves: what a text asks for by its first word is what its request gets."""

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, **message):
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    return {"choices": [{"message": {"content": text, **message}, "finish_reason": "stop"}], "usage": usage}


class ChatServer:
    """Serves on localhost within a `with` block; `asked` counts requests by text, `largest` those at a time."""

    def __init__(self):
        self.asked, self.headers, self.bodies = Counter(), [], []
        self.largest = self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = body["messages"][-1]["content"]
                with outer._lock:
                    outer.asked[text] += 1
                    outer.headers.append(dict(self.headers))
                    outer.bodies.append(body)
                    outer._now += 1
                    outer.largest = max(outer.largest, outer._now)
                    first = outer.asked[text] == 1
                self.answer(text.split()[0], text, first)

            def answer(self, kind, text, first):
                if kind == "late":
                    time.sleep(0.2)
                if kind == "slow" and first:
                    time.sleep(1.0)
                if kind == "busy" and first:
                    return self.send(429, b"{}", {"Retry-After": "1"})
                if kind == "broken" and first:
                    return self.send(500, b"oops")
                if kind == "garbage" and first:
                    return self.send(200, b"<html>")
                if kind == "dead":
                    return self.send(503, b"")
                if kind == "forbidden":
                    return self.send(401, b"no such key")
                if kind == "moved":
                    return self.send(307, b"", {"Location": "http://127.0.0.1:1/"})
                if kind == "filtered":
                    return self.send(400, b'{"error": {"code": "content_filter"}}')
                made = {
                    "empty": completion(""),
                    "nothing": completion("无。"),
                    "refused": completion("", refusal="no"),
                }.get(kind, completion(f"summary of {text}"))
                return self.send(200, json.dumps(made).encode())

            def send(self, status, body, headers=None):
                with outer._lock:  # before the answer is out: whoever has it may ask again
                    outer._now -= 1
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client gave up

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
