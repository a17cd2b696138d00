"""`rzero report --watch`: the report of runs that go on, served on this machine and always up to date."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flows.report.read import read_runs
from flows.report.story import report_html
from flows.summary import read_steps
from flows.text import say
from infra.artifacts.runs import known_run
from infra.store.store import Store, StoreError

_REFRESH_SECONDS = 15


class ReportServer(ThreadingHTTPServer):
    """Serves the report on loopback, at an address that only its owner knows."""

    daemon_threads = True

    def __init__(self, store: Store, run_names: Sequence[str], port: int = 0) -> None:
        """ConfigError for an unknown run; OSError for a taken port."""
        self._store, self._names = store, run_names
        self._lock = threading.Lock()
        self._made_from: object = None
        self._page, self._is_finished = b"", False
        self._make()
        self.path = f"/{secrets.token_urlsafe(16)}/"
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}{self.path}"

    def page(self) -> tuple[bytes, bool]:
        """The report as HTML, made anew if more is finished than in the last one; whether it is the last."""
        with self._lock:
            self._make()
            return self._page, self._is_finished

    def _make(self) -> None:
        steps = [read_steps(self._store, known_run(self._store, name)) for name in dict.fromkeys(self._names)]
        made_from = [item.step.ref for each in steps for item in each]
        if made_from == self._made_from:
            return
        runs = read_runs(self._store, self._names)
        self._page = report_html(self._store, runs).encode()
        self._made_from, self._is_finished = made_from, not any(run.unfinished for run in runs)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        if not secrets.compare_digest(self.path.encode(), self.server.path.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status, kind, is_finished = HTTPStatus.OK, "text/html", False
        try:
            content, is_finished = self.server.page()
        except StoreError as error:
            status, kind, content = HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", str(error).encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if not is_finished:
            self.send_header("Refresh", str(_REFRESH_SECONDS))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the address of a request holds its key."""


def serve(store: Store, run_names: Sequence[str], port: int) -> None:
    """Serve the report until Ctrl-C; ConfigError for an unknown run or a taken port."""
    from data.resolve import ConfigError

    try:
        server = ReportServer(store, run_names, port)
    except OSError as error:
        raise ConfigError(f"--port: {port} cannot be listened on: {error.strerror}") from None
    say(f"{server.url} (this machine alone; Ctrl-C ends it)")
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
