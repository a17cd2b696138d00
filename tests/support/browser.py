"""A real browser: Debian's Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect

from tests.support.waiting import wait_until

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--remote-debugging-port=0", "--window-size=1400,900", "--no-proxy-server"),
)
_PATIENCE_SECONDS = 180.0
_TRIES = 6
_PRESSABLE = "button, a, [role=tab], [role=menuitem], [role=option]"
_MIDDLE = """(e.scrollIntoView({block: 'center'}),
    (r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect()))"""


def chromium() -> str:
    """The path of the browser; the test is skipped where none is installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no browser is installed: apt-get install chromium")


class Browser:
    """One page of a browser with a profile of its own; a context manager that ends the browser."""

    def __init__(self, folder: Path, *options: str) -> None:
        profile = folder / "profile"
        command = [chromium(), *_QUIET, *options, f"--user-data-dir={profile}", "about:blank"]
        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            told = profile / "DevToolsActivePort"
            self._until(lambda: told.exists() and len(told.read_text().splitlines()) == 2, "its start")
            port = told.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json", timeout=60) as answer:
                page = next(each for each in json.load(answer) if each["type"] == "page")
            self._page = connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None)
        except BaseException:
            self._end()
            raise
        self._asked = 0

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a method of the DevTools protocol.

        What may be done twice is asked again: Chromium loses an answer now and then while it changes pages.
        """
        tries = 1 if method.startswith("Input.") else _TRIES
        for number in range(1, tries + 1):
            self._asked += 1
            self._page.send(json.dumps({"id": self._asked, "method": method, "params": params}))
            try:
                while (answer := json.loads(self._page.recv(_PATIENCE_SECONDS / tries))).get(
                    "id"
                ) != self._asked:
                    pass
            except TimeoutError:
                if number == tries:
                    raise
            else:
                break
        assert "error" not in answer, answer
        return answer["result"]

    def log_in(self, url: str, key: str) -> None:
        """Open Prefect's UI and give it the key that it asks for."""
        self.go(url)
        self.wait_for("document.querySelector('input[type=password]') !== null")
        self.value("document.querySelector('input[type=password]').focus()")
        self.enter(key)
        self.wait_for("location.pathname.endsWith('/dashboard')")

    def go(self, url: str) -> None:
        """Open the address in the page."""
        self.ask("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, which may be a promise; None where it fails."""
        result = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        return result["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The value of the expression as soon as it is true."""
        found: list[Any] = []

        def is_there() -> bool:
            found.append(self.value(expression))
            return bool(found[-1])

        self._until(is_there, expression)
        return found[-1]

    def press(self, text: str, within: str = "body") -> None:
        """Click on the first that can be pressed and says this, as soon as it is there and stands still."""
        inside = f"document.querySelector('{within}')?.querySelectorAll('{_PRESSABLE}') ?? []"
        element = f"[...{inside}].filter(e => e.innerText.trim() === {text!r})"
        where = f"(() => {{ const e = {element}[0]; return e && {_MIDDLE} }})()"
        found = [self.wait_for(where)]

        def stands_still() -> bool:
            found.append(self.wait_for(where))
            return bool(found[-1] == found[-2])

        self._until(stands_still, f"{text} to stand still")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.ask(
                "Input.dispatchMouseEvent",
                **dict(zip("xy", found[-1], strict=True), type=kind, button=button, clickCount=1),
            )

    def write(self, selector: str, text: str) -> None:
        """Put the text into the first field of this kind, instead of what is there."""
        self.wait_for(f"document.querySelector('{selector}') !== null")
        self.value(f"document.querySelector('{selector}').focus()")
        select_all = {"key": "a", "code": "KeyA", "modifiers": 2, "commands": ["selectAll"]}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **select_all)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key="a", code="KeyA")
        self.ask("Input.insertText", text=text)

    def enter(self, text: str) -> None:
        """Type into what has the focus, then the key Enter."""
        self.ask("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.ask("Input.dispatchKeyEvent", type=kind, **enter)

    def picture(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._page.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def _until(self, is_so: Any, what: str) -> None:
        def is_so_and_runs() -> bool:
            if is_so():
                return True
            assert self._process.poll() is None, "the browser has ended; see chromium.log"
            return False

        wait_until(is_so_and_runs, lambda: f"the browser waited in vain for {what}")
