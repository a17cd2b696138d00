"""A hub on this machine: what huggingface_hub asks for to create a repository and a commit, and refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_rzeroTestTokenOfNobody0123456789"
HANG_UP = 0
"""In place of a status: the connection is closed without an answer."""
_LARGE = (".safetensors", ".parquet")


@dataclass
class Repository:
    """What a repository holds, and the message of each commit."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        """The newest commit."""
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


class HubServer:
    """Repositories by kind and name, such as "datasets/org/name"; `answers` says which paths are refused how.

    Of each request, method and path are in `asked`; large files come by the LFS protocol.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        self.large: dict[str, bytes] = {}
        self.url = ""

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON."""
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.startswith("/large/"):
            assert hashlib.sha256(body).hexdigest() == path.rpartition("/")[2]
            self.large[path.rpartition("/")[2]] = body
            return 200, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"objects": [self._upload(each) for each in json.loads(body)["objects"]]}
        kind, owner, name, *rest = path.removeprefix("/api/").split("/")
        repository = self.repositories.get(f"{kind}/{owner}/{name}")
        if repository is None:
            return 404, {"error": "Repository not found"}
        if method == "GET" and not rest:
            siblings = [{"rfilename": file} for file in repository.files]
            known = {"id": f"{owner}/{name}", "sha": repository.sha, "private": repository.private}
            return 200, known | {"siblings": siblings}
        if rest == ["preupload", "main"]:
            return 200, {"files": [_mode(file["path"]) for file in json.loads(body)["files"]]}
        if rest == ["commit", "main"]:
            where = f"{self.url}/{'datasets/' if kind == 'datasets' else ''}{owner}/{name}"
            return self._commit(where, repository, [json.loads(line) for line in body.splitlines()])
        return 404, {"error": f"nothing at {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        key = f"{asked.get('type', 'model')}s/{name}"
        status = 409 if key in self.repositories else 200
        self.repositories.setdefault(key, Repository(asked["visibility"] == "private"))
        return status, {"url": f"{self.url}/{name}"}

    def _upload(self, each: dict[str, Any]) -> dict[str, Any]:
        return each | {"actions": {"upload": {"href": f"{self.url}/large/{each['oid']}"}}}

    def _commit(self, where: str, repository: Repository, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        (header,) = (line["value"] for line in lines if line["key"] == "header")
        if header["parentCommit"] != repository.sha:
            return 412, {"error": "A commit has happened since"}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del repository.files[value["path"]]
        repository.commits.append(header["summary"])
        return 200, {"commitUrl": f"{where}/commit/{repository.sha}", "commitOid": repository.sha}


def _mode(path: str) -> dict[str, Any]:
    mode = "lfs" if path.endswith(_LARGE) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A hub that lets `TOKEN` do everything, on a free port of the loopback interface."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            status = next((status for part, status in hub.answers.items() if part in path), None)
            if status == HANG_UP:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            # The place of a large file is signed; its request carries no token.
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}" or path.startswith("/large/")
            if status is not None:
                # As a careless server would, it sends back what it was sent.
                told: Any = {"error": f"no, {self.headers.get('Authorization')}"}
            elif not known:
                status, told = 401, {"error": "Invalid username or password."}
            else:
                status, told = hub.reply(self.command, path, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
