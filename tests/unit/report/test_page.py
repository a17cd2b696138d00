"""The file itself: self-contained, safe against what models write, the same each time."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from data.config import RunConfig
from data.resolve import ConfigError
from flows.commands.report import store_report, write_report
from flows.report import theme
from flows.report.read import lines_of, read_runs
from infra.store.store import Store

Fabricate = Callable[..., RunConfig]
FETCHING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "ping"}


class Page(HTMLParser):
    """What a browser would see: the tags with their attributes, the scripts, and the text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open_script: dict[str, str | None] | None = None
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open_script = dict(attrs) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._open_script = None

    def handle_data(self, data: str) -> None:
        if self._open_script is None:
            self.words.append(data)
        else:
            self.scripts.append((self._open_script, data))

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def charts(self) -> dict[str, Any]:
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == "charts")


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(fabricate: Fabricate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a finished run, in its default place. Read only."""
    store = Store(str(tmp_path_factory.mktemp("finished") / "store"))
    fabricate(store)
    return Path(store_report(store, ["made"]))


def store_of(report: Path) -> Store:
    return Store(str(report.parents[2]))


def test_a_finished_run_has_every_chart_and_its_numbers(finished: Path) -> None:
    assert finished.relative_to(store_of(finished).root) == Path("runs/made/report.html")
    page = page_of(finished)
    wanted = {"accuracy", "group-0", "group-1", "group-2", "reward", "p-hat-0", "p-hat-1"}
    wanted |= {"length-greedy", "length-sampled", "habit-0", "habit-1"}
    wanted |= {"answered-share", "uncertainty", "cluster-share"}
    wanted |= {
        "kept",
        "fates",
        "labels",
        "labels-1",
        "labels-2",
        "terms",
        "characters",
        "well-formed",
        "domain",
    }
    wanted |= {"unique-share", "distinct-2", "largest-share", "alone-share", "time"}
    wanted |= {"train-challenger-reward-mean", "train-challenger-kl"}
    wanted |= {"train-solver-reward-mean", "train-solver-kl"}
    assert set(page.charts) == wanted
    places = {attributes.get("id") for tag, attributes in page.tags if tag == "div"}
    assert {f"plot-{key}" for key in wanted} <= places
    assert [attributes for tag, attributes in page.tags if tag == "figcaption"] == [{}] * len(wanted)
    for figure in page.charts.values():
        for axis in ("xaxis", "yaxis"):
            assert figure["layout"][axis]["title"]["text"]
    assert "2 of 2 iterations finished" in page.text
    assert "held_out_per_length: 6" in page.text


def test_the_file_asks_nothing_of_the_network_and_runs_only_its_own_scripts(finished: Path) -> None:
    page = page_of(finished)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        assert not FETCHING & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
        href = attributes.get("href")
        assert href is None or not href.startswith(("http", "//", "data:", "javascript:"))
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv")) or ""
    assert "default-src 'none'" in policy
    code = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert sum("plotly.js v" in text[:200] for text in code) == 1


def test_what_models_write_stays_text(
    store: Store, fabricate: Fabricate, finished: Path, tmp_path: Path
) -> None:
    fabricate(store, iterations=1, hostile=True)
    plain, hostile = page_of(finished), page_of(write_report(store, ["made"], tmp_path / "report.html"))
    assert {tag for tag, _ in hostile.tags} == {tag for tag, _ in plain.tags}
    assert len(hostile.scripts) == len(plain.scripts) == 4
    assert not any("onerror" in attributes for _, attributes in hostile.tags)
    shown = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\\u202e<b>'
    assert hostile.text.count(shown) > 20
    assert "\u202e" not in hostile.text
    assert html.escape(shown).replace("&quot;", '"') not in "".join(text for _, text in hostile.scripts)


def test_the_same_store_gives_the_same_bytes(finished: Path) -> None:
    again = write_report(store_of(finished), ["made"], finished.parent / "again.html")
    assert again.read_bytes() == finished.read_bytes()


@pytest.mark.parametrize(
    ("stop_before", "there", "missing"),
    [
        ((0, "prepare_base_model"), set(), {"accuracy", "kept", "time"}),
        ((1, "train_challenger"), {"accuracy", "time"}, {"kept", "uncertainty"}),
        ((1, "generate_questions"), {"accuracy", "uncertainty", "terms"}, {"kept", "labels"}),
        ((1, "train_solver"), {"kept", "labels", "train-challenger-kl"}, {"train-solver-kl"}),
        ((2, "evaluate"), {"accuracy", "kept", "train-solver-kl"}, set()),
    ],
)
def test_an_unfinished_run_gives_a_report_of_what_there_is(
    store: Store,
    fabricate: Fabricate,
    tmp_path: Path,
    stop_before: tuple[int, str],
    there: set[str],
    missing: set[str],
) -> None:
    fabricate(store, stop_before=stop_before)
    page = page_of(write_report(store, ["made"], tmp_path / "report.html"))
    assert there <= set(page.charts)
    assert not missing & set(page.charts)
    assert f"unfinished from {stop_before[1]} of iteration {stop_before[0]} on" in page.text


def test_runs_that_differ_only_in_their_seed_are_one_line_with_a_range(
    store: Store, fabricate: Fabricate, tmp_path: Path
) -> None:
    fabricate(store, "main-s0", 1, seed=0)
    fabricate(store, "main-s1", 1, seed=1)
    fabricate(store, "strict", 1, overrides=["filter.delta=0.1"])
    page = page_of(write_report(store, ["main-s0", "strict", "main-s1", "strict"], tmp_path / "report.html"))
    names = [trace.get("name") for trace in page.charts["accuracy-0"]["data"] if trace.get("name")]
    assert names == ["main (2 runs)", "strict"]
    assert "filter.delta" in page.text
    assert "lowest to highest run" in page.text


def test_lines_of_like_names_are_kept_apart(store: Store, fabricate: Fabricate) -> None:
    for name, delta in (("a-0", 0.2), ("a-1", 0.2), ("a-s0", 0.3), ("a-s1", 0.3)):
        fabricate(store, name, overrides=[f"filter.delta={delta}"], stop_before=(0, "prepare_base_model"))
    lines = lines_of(read_runs(store, ["a-0", "a-1", "a-s0", "a-s1"]))
    assert [line.label for line in lines] == ["a (2 runs)", "a-s0, a-s1"]


def test_a_run_that_went_on_beyond_its_first_goal_is_shown_to_the_end(
    store: Store, fabricate: Fabricate
) -> None:
    fabricate(store, iterations=2)
    # Up to version 0.2.0 a run kept the number that it was begun with.
    path = "runs/made/run.json"
    store.put(path, store.read(path).replace(b'"iterations": 2', b'"iterations": 1'))
    (run,) = read_runs(store, ["made"])
    assert run.config.iterations == 1
    assert run.last_iteration == 2
    assert run.unfinished == []


def test_links_lead_to_every_parquet_file(finished: Path, tmp_path: Path) -> None:
    store = store_of(finished)
    written = {path.resolve() for path in Path(store.root).rglob("*.parquet")}
    relative = [unquote(href) for href in parquet_links(finished)]
    assert {(finished.parent / href).resolve() for href in relative} == written
    outside = write_report(store, ["made"], tmp_path / "elsewhere.html")
    assert {Path(unquote(urlparse(href).path)) for href in parquet_links(outside)} == written
    assert all(href.startswith("file:///") for href in parquet_links(outside))


def parquet_links(report: Path) -> list[str]:
    hrefs = [attributes.get("href") or "" for tag, attributes in page_of(report).tags if tag == "a"]
    return [href for href in hrefs if href.endswith(".parquet")]


def test_every_light_colour_of_a_chart_has_a_dark_twin(finished: Path) -> None:
    used = set(re.findall(r"#[0-9a-f]{6}", json.dumps(page_of(finished).charts).lower()))
    assert used <= set(theme.DARK_TWINS)
    assert not set(theme.DARK_TWINS) & set(theme.DARK_TWINS.values())


def test_a_report_of_a_store_that_is_not_local_lies_beside_the_run_all_the_same(
    store: Store, fabricate: Fabricate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fabricate(store, iterations=1)
    uri = store_report(store, ["made"])
    assert uri == store.uri_of("runs/made/report.html")
    assert "memory://" in Page(store.read(store.path_of(uri)).decode()).text
    assert not list(tmp_path.iterdir())


def test_a_comparison_leaves_the_report_of_the_run_alone(store: Store, fabricate: Fabricate) -> None:
    fabricate(store, iterations=1)
    fabricate(store, iterations=1, run="other")
    alone = store.read(store.path_of(store_report(store, ["made"])))
    assert store_report(store, ["made", "other"]) == store.uri_of("runs/made/compared.html")
    assert store.read("runs/made/report.html") == alone != store.read("runs/made/compared.html")


def test_a_report_is_not_made_twice_of_the_same_artifacts_unless_asked_to(
    store: Store, fabricate: Fabricate
) -> None:
    def writes(again: bool) -> bool:
        store.put("runs/made/report.html", b"as it was")
        store_report(store, ["made"], again)
        return store.read("runs/made/report.html") != b"as it was"

    fabricate(store, stop_before=(1, "evaluate"))
    assert writes(again=False)
    assert not writes(again=False)
    assert writes(again=True)
    fabricate(store, iterations=1)
    assert writes(again=False)


def test_an_unknown_run_and_a_target_in_the_way_are_one_clear_line(
    store: Store, fabricate: Fabricate, tmp_path: Path
) -> None:
    fabricate(store, stop_before=(0, "evaluate"))
    with pytest.raises(ConfigError, match=r"there is no run 'nobody' in .*; runs there: made"):
        store_report(store, ["made", "nobody"])
    with pytest.raises(ConfigError, match=r"--to: .* cannot be written: Is a directory"):
        write_report(store, ["made"], tmp_path)
    assert not list(tmp_path.parent.glob(".tmp-*"))


def test_a_damaged_table_is_left_out_and_named(
    local_store: Store, fabricate: Fabricate, tmp_path: Path
) -> None:
    fabricate(local_store, iterations=1)
    damaged = next(Path(local_store.root).rglob("score_and_filter/*/part-00000.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    page = page_of(write_report(local_store, ["made"], tmp_path / "report.html"))
    assert "kept" not in page.charts
    assert "accuracy" in page.charts
    assert f"left out as damaged: {damaged} is" in page.text
    assert "`rzero verify made --set-aside`" in page.text
    assert "unfinished from score_and_filter of iteration 1 on" in page.text


def test_a_table_that_was_changed_at_the_same_size_is_left_out_and_named(
    local_store: Store, fabricate: Fabricate, tmp_path: Path
) -> None:
    """Its figures stand in the manifest, so nothing else would show it."""
    fabricate(local_store, iterations=1)
    changed = next(Path(local_store.root).rglob("iteration=1/evaluate/*/part-00000.parquet"))
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    page = page_of(write_report(local_store, ["made"], tmp_path / "report.html"))
    assert f"left out as damaged: {changed} does not have the sha256 of its manifest" in page.text


def test_what_earlier_versions_made_is_shown_and_called_outdated(
    local_store: Store, fabricate: Fabricate, tmp_path: Path
) -> None:
    fabricate(local_store, iterations=1)
    run = Path(local_store.root) / "runs/made"
    config = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(config | {"seed": 7}))
    # They drew and graded in one stage.
    for folder in list(run.rglob("sample_evaluation")):
        shutil.rmtree(folder)
    for path in run.rglob("evaluate/*/_manifest.json"):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"inputs": {"solver": manifest["inputs"]["completions"]}}))
    page = page_of(write_report(local_store, ["made"], tmp_path / "report.html"))
    assert {"accuracy", "kept", "train-solver-kl"} <= set(page.charts)
    assert "1 of 1 iteration finished; outdated in part" in page.text
