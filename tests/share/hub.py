"""A Hub on loopback: the endpoints that huggingface_hub calls to push and pull a dataset without Xet."""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

Tree = dict[str, bytes]

TOKEN = "hf_writer"
READ_TOKEN = "hf_reader"


@dataclass
class Repo:
    """The commits of a repository, oldest first, each the whole tree."""

    private: bool
    commits: list[Tree] = field(default_factory=lambda: [{".gitattributes": b"*.parquet filter=lfs\n"}])

    @property
    def tree(self) -> Tree:
        return self.commits[-1]


class Hub:
    """The state of the server, to be looked at and tampered with.

    Attributes:
        repos: id -> repository.
        stored: SHA-256 -> content, of every upload that arrived.
        requests: method and path of every request, in order.
        fault: called with method and path before a request is answered; returns a status to answer with instead, 0 to
            break the connection, or None.
        headers: sent with an answer that `fault` gives.
        always_public: ignore the wish for a private repository.
        n_open: connections of clients that have not ended.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], int | None] = lambda method, path: None
        self.headers: dict[str, str] = {}
        self.always_public = False
        self.n_open = 0
        self.url = ""

    def add(self, name: str, *, private: bool = True, **files: bytes) -> Repo:
        self.repos[name] = Repo(private)
        self.repos[name].tree.update(files)
        return self.repos[name]

    def count(self, method: str, part: str) -> int:
        return sum(1 for did, path in self.requests if did == method and part in path)

    def settle(self, n_open: int) -> None:
        """Wait until what clients sent before they ended has been answered, and no more connections are open."""
        with socket.create_connection((urlsplit(self.url).hostname, urlsplit(self.url).port)) as last:
            last.sendall(b"\n")  # connections are accepted in order: theirs have been when this one is closed
            last.shutdown(socket.SHUT_WR)
            last.recv(1)
        deadline = time.monotonic() + 30
        while self.n_open > n_open:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A server on a free port of loopback while the block runs."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_large(path: str) -> bool:
    return path.endswith(".parquet")


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def commit_id(repo: str, index: int) -> str:
    return hashlib.sha1(f"{repo} {index}".encode()).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    RequestHandlerClass: type["_Handler"]
    counting = threading.Lock()

    def count_open(self, change: int) -> None:
        with self.counting:
            self.RequestHandlerClass.hub.n_open += change

    def process_request(self, request: object, client_address: object) -> None:
        self.count_open(1)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)
        self.count_open(-1)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer is one packet, and does not wait for the acknowledgement of its first half

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes | dict | list = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str = "", **headers: str) -> None:
        self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code, **headers)

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if self.command != "GET" else b""
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        match self.hub.fault(self.command, path):
            case None:
                self.route(path)
            case 0:
                self.close_connection = True
            case status:
                self.refuse(status, **self.hub.headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 -- the names that the base class calls

    def route(self, path: str) -> None:
        if path.startswith("/lfs/"):
            return self.receive(path.removeprefix("/lfs/"))
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", TOKEN, READ_TOKEN):
            return self.refuse(401, "Invalid credentials in Authorization header")
        if token != TOKEN and self.command in ("POST", "PUT") and "paths-info" not in path:
            return self.refuse(403 if token else 401)
        if path == "/api/repos/create":
            return self.create()
        found = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+?)(\.git)?(/.*)?", path)
        if found is None:
            return self.refuse(404)
        repo = self.hub.repos.get(found[1])
        if repo is None or (repo.private and not token):
            return self.refuse(404 if token else 401, "RepoNotFound")
        return self.on_repo(found[1], repo, found[3] or "")

    def on_repo(self, name: str, repo: Repo, rest: str) -> None:
        if rest == "/info/lfs/objects/batch":
            return self.batch()
        action, _, argument = rest.strip("/").partition("/")
        if action in ("preupload", "commit"):
            return getattr(self, action)(name, repo)
        revision, _, path = argument.partition("/")
        index = self.index_of(name, repo, revision or "main")
        if index is None:
            return self.refuse(404, "RevisionNotFound")
        if action in ("", "revision"):
            return self.answer(200, {"id": name, "sha": commit_id(name, index), "private": repo.private, "tags": []})
        if action in ("tree", "paths-info"):
            return self.list_paths(repo.commits[index], action, path)
        if action == "resolve":
            return self.send_file(repo.commits[index], path, commit_id(name, index))
        return self.refuse(404)

    @staticmethod
    def index_of(name: str, repo: Repo, revision: str) -> int | None:
        if revision == "main":
            return len(repo.commits) - 1
        return next((i for i in range(len(repo.commits)) if commit_id(name, i) == revision), None)

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            return self.refuse(409)
        self.hub.add(name, private=asked.get("visibility") == "private" and not self.hub.always_public)
        return self.answer(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name, "id": name})

    def preupload(self, name: str, repo: Repo) -> None:
        files = []
        for asked in json.loads(self.body)["files"]:
            path, there = asked["path"], repo.tree.get(asked["path"])
            hashed = hashlib.sha256(there).hexdigest() if there and is_large(path) else there and git_id(there)
            mode = "lfs" if is_large(path) else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": hashed})
        self.answer(200, {"files": files})

    def batch(self) -> None:
        objects = []
        for asked in json.loads(self.body)["objects"]:
            if asked["oid"] not in self.hub.stored:
                asked["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{asked['oid']}"}}
            objects.append(asked)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def receive(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.refuse(400)
        self.hub.stored[oid] = self.body
        return self.answer(200)

    def commit(self, name: str, repo: Repo) -> None:
        tree = dict(repo.tree)
        for line in self.body.splitlines():
            step = json.loads(line)
            key, value = step["key"], step["value"]
            if key == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                tree[value["path"]] = self.hub.stored[value["oid"]]
            elif key == "deletedFile":
                del tree[value["path"]]
        repo.commits.append(tree)
        oid = commit_id(name, len(repo.commits) - 1)
        self.answer(200, {"commitUrl": f"{self.hub.url}/datasets/{name}/commit/{oid}", "commitOid": oid})

    def list_paths(self, tree: Tree, action: str, folder: str) -> None:
        query = {**parse_qs(urlsplit(self.path).query), **parse_qs(self.body.decode())}
        wanted = query.get("paths", [])
        if self.body.startswith(b"{"):
            wanted = json.loads(self.body)["paths"]
        folders = sorted({"/".join(path.split("/")[:n]) for path in tree for n in range(1, path.count("/") + 1)})
        entries = [{"type": "directory", "path": path, "oid": git_id(path.encode()), "size": 0} for path in folders]
        entries += [self.entry(path, content) for path, content in sorted(tree.items())]
        if action == "paths-info":
            return self.answer(200, [entry for entry in entries if entry["path"] in wanted])
        inside = [entry for entry in entries if entry["path"].startswith(f"{folder}/" if folder else "")]
        if query.get("recursive", ["false"])[0].lower() != "true":
            inside = [entry for entry in inside if "/" not in entry["path"].removeprefix(folder).strip("/")]
        if folder and not inside:
            return self.refuse(404, "EntryNotFound")
        return self.answer(200, inside)

    @staticmethod
    def entry(path: str, content: bytes) -> dict:
        found = {"type": "file", "path": path, "oid": git_id(content), "size": len(content)}
        if is_large(path):
            found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return found

    def send_file(self, tree: Tree, path: str, commit: str) -> None:
        if path not in tree:
            return self.refuse(404, "EntryNotFound")
        content = tree[path]
        etag = hashlib.sha256(content).hexdigest() if is_large(path) else git_id(content)
        headers = {"ETag": f'"{etag}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return self.answer(200, content, Content_Length=str(len(content)), **headers)
        first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
        part = content[first : last + 1]
        headers["Content_Range"] = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return self.answer(206, part, **headers)
