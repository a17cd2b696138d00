"""The report of a run that really ran."""

from __future__ import annotations

import json
import re
from pathlib import Path

from flows.commands.report import write_report
from infra.store.store import Store


def test_the_report_of_a_real_run_shows_the_figures_of_its_manifests(
    small_store: Path, tmp_path: Path
) -> None:
    path = write_report(Store(str(small_store)), ["small"], tmp_path / "report.html")
    content = path.read_text(encoding="utf-8")
    assert "1 of 1 iteration finished" in content
    found = re.search(r'id="charts">(.*?)</script>', content)
    assert found is not None
    charts = json.loads(found.group(1))
    assert {
        "accuracy",
        "kept",
        "uncertainty",
        "train-challenger-kl",
        "train-solver-reward-mean",
        "time",
    } <= set(charts)
    manifests = [
        json.loads(file.read_text()) for file in sorted(small_store.rglob("evaluate/*/_manifest.json"))
    ]
    by_iteration = sorted(manifests, key=lambda manifest: manifest["iteration"])
    traces = {trace.get("name"): trace for trace in charts["accuracy"]["data"]}
    for name in ("pass@1", "greedy"):
        drawn = [round(value, 6) for value in traces[name]["y"]]
        assert drawn == [round(manifest["figures"][name], 6) for manifest in by_iteration]
    kept = next(file for file in small_store.rglob("score_and_filter/*/_manifest.json"))
    share = json.loads(kept.read_text())["figures"]["kept_share"]
    assert [round(value, 6) for value in charts["kept"]["data"][-1]["y"]] == [round(share, 6)]
