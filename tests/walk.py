"""A walk through Prefect's UI as a user takes it, with the pictures of docs/deployment.md.

    python -m tests.walk --to FOLDER

A server as `make up` brings it up, the form, a run, its overview, a kill, Retry, and `evolve` to the end. It
takes somewhat longer than the three iterations of `make demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.browser import Browser
from tests.support.deployed import Deployed
from tests.support.killing import kill

RUN = "first"
_LAST_WORD = "prefect.flow_runs.worker - Check whether"

_PRESSES = 5
_SENT = """new Promise(done => {
    const ends = Date.now() + 10000
    const look = () => document.body.innerText.includes('View run') ? done(true)
        : Date.now() > ends ? done(false) : setTimeout(look, 100)
    look()
})"""


class Walk:
    """A user at a browser; `overrides` go into the form, pictures into `folder`."""

    drawn_after_seconds = 0.0
    """For pictures that a person looks at: a page draws its graph after its text, and tells nobody."""

    def __init__(self, deployed: Deployed, browser: Browser, folder: Path, overrides: Mapping[str, str]):
        self.deployed, self.browser, self.folder, self.overrides = deployed, browser, folder, overrides
        self.url = deployed.server.url
        self.pages: list[str] = []
        """The HTML of what was seen."""

    def fill_in(self, deployment: str) -> None:
        """The form of a deployment, with what it must be told."""
        number = self.deployed.ask(f"deployments/name/{deployment}")["id"]
        self.browser.go(f"{self.url}/v2/deployments/deployment/{number}/run")
        self.browser.write("textarea", RUN)
        if self.overrides:
            self.browser.write(".cm-content", json.dumps(dict(self.overrides)))

    def submit(self, flow: str) -> dict[str, Any]:
        """Send the form; the flow run that comes of it, once it is at work."""
        # The form lets a press pass without effect now and then; a user presses again.
        for _ in range(_PRESSES):
            self.browser.press("Submit")
            if self.browser.value(_SENT):
                break
        self.browser.press("View run")
        found: list[dict[str, Any]] = []

        def is_at_work() -> bool:
            wanted = {"sort": "START_TIME_DESC", "flows": {"name": {"any_": [flow]}}}
            found[:] = [run for run in self.deployed.ask("flow_runs/filter", wanted) if run["start_time"]]
            return bool(found) and found[0]["state_type"] == "RUNNING"

        self.deployed.wait_until(is_at_work, f"a run of {flow}")
        self._leave()
        return found[0]

    def until_at_work_on(self, flow_run: dict[str, Any], stage: str) -> None:
        """Wait until a stage has begun."""
        self.deployed.wait_until(
            lambda: any(run["name"].startswith(f"{stage}:") for run in self.deployed.task_runs(flow_run)),
            stage,
        )

    def until_reported(self) -> None:
        """Wait for the last that the worker has to say of a killed run: it marks it Crashed twice.

        The second mark comes some ten seconds after the first and would undo a Retry.
        """
        log = self.deployed.server.processes.log("worker")
        self.deployed.wait_until(lambda: _LAST_WORD in log.read_text(errors="replace"), "the worker's report")

    def retry(self) -> None:
        """Choose Retry on the page of a run."""
        self.browser.press("Open menu")
        self.browser.press("Retry")
        self.browser.press("Retry", within="[role=alertdialog], [role=dialog]")
        self.browser.wait_for("document.body.innerText.includes('scheduled for retry')")
        self._leave()

    def show(self, flow_run: dict[str, Any], tab: str, says: str, name: str, leaves: bool = True) -> None:
        """A picture of a run's page, once it says something."""
        self.browser.go(f"{self.url}/v2/runs/flow-run/{flow_run['id']}?tab={tab}")
        self.picture(says, name, leaves)

    def show_overview(self, flow_run: dict[str, Any], name: str, ui: str = "/v2") -> None:
        """A picture of the overview of a run."""
        wanted = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}, "sort": "CREATED_DESC"}
        (one,) = [each for each in self.deployed.ask("artifacts/filter", wanted) if "overview" in each["key"]]
        self.browser.go(f"{self.url}{ui}/artifacts/artifact/{one['id']}")
        self.picture("pass@", name)

    def picture(self, says: str, name: str, leaves: bool = True) -> None:
        """A picture of the page, once it says something."""
        self.browser.wait_for(f"document.body.innerText.replaceAll('\\u2060', '').includes({says!r})")
        self.browser.value("document.querySelectorAll('*').forEach(each => { each.scrollTop = 0 })")
        self.browser.value(f"new Promise(done => setTimeout(done, {1000 * self.drawn_after_seconds}))")
        self.browser.picture(self.folder / f"{name}.png")
        self.pages.append(self.browser.value("document.documentElement.outerHTML"))
        if leaves:
            self._leave()

    def _leave(self) -> None:
        # A graph on display is drawn without pause, which takes the run's cores.
        self.browser.go("about:blank")


def walk(one: Walk) -> None:
    """All of it; AssertionError where the UI does not do what docs/deployment.md says."""
    one.browser.log_in(one.url, one.deployed.server.key_file.read_text().strip())
    one.fill_in("rzero/iteration")
    one.picture("Parameters", "form", leaves=False)
    run = one.submit("rzero")
    one.until_at_work_on(run, "train_challenger")
    one.show(run, "Logs", "begins with the base model", "working")
    one.show_overview(run, "overview-working")
    kill(one.deployed.server.processes, "worker", "started")
    assert one.deployed.end_of(run) == "CRASHED"
    one.until_reported()
    one.show(run, "Logs", "Crashed", "crashed", leaves=False)
    one.retry()
    assert one.deployed.end_of(run) == "COMPLETED"
    one.show(run, "Artifacts", "overview", "finished")
    one.show(run, "TaskRuns", "Cached", "cached")
    one.show_overview(run, "overview-iteration")
    one.fill_in("rzero-evolve/evolve")
    evolved = one.submit("rzero-evolve")
    assert one.deployed.end_of(evolved) == "COMPLETED"
    one.show(evolved, "SubflowRuns", "iteration 2", "evolve")
    one.show_overview(evolved, "overview")
    one.show_overview(evolved, "overview-v1", ui="")


def main() -> None:
    """Walk with the preset as it is, and leave the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rzero-walk-") as name:
        folder = Path(name)
        os.environ |= {"RZERO_STORE": str(folder / "store"), "DO_NOT_TRACK": "1"}
        deployed = Deployed(folder / "server")
        try:
            for line in deployed.server.up():
                print(line, flush=True)
            with Browser(folder, "--window-size=1400,1000") as browser:
                one = Walk(deployed, browser, options.to, {})
                one.drawn_after_seconds = 4.0
                walk(one)
        finally:
            list(deployed.server.down())


if __name__ == "__main__":
    main()
