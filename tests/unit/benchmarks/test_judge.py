"""The judge: a real HTTP server on loopback that answers as an OpenAI-compatible endpoint does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from data.config import JudgeConfig
from infra.judge_endpoint import EndpointError, EndpointUnavailable, JudgeEndpoint
from infra.keys import JUDGE_KEY
from infra.retries import Retries
from infra.store.store import Store
from tasks.grading.judge import Case, judge_figures, judge_labels, messages_of, recheck, verdict_of
from tasks.stage.errors import StageError

QUICK = Retries(attempts=5, first_delay_seconds=0.001)

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


def reply(text: str, tokens: int = 7) -> tuple[int, dict[str, Any]]:
    return 200, {"choices": [{"message": {"content": text}}], "usage": {"total_tokens": tokens}}


class Endpoint:
    """What the server is asked, and what it answers."""

    def __init__(self) -> None:
        self.answer: Answer = lambda body: reply("VERDICT: SAME")
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""

    def config(self, **settings: Any) -> JudgeConfig:
        return JudgeConfig(url=self.url, model="m", **settings)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            state.keys.append(self.headers.get("Authorization"))
            status, content = state.answer(body) if self.path == "/v1/chat/completions" else (404, {})
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def row(
    problem: int, answer: str | None, right: bool, sample: int = 0, majority: str = "x"
) -> dict[str, Any]:
    return {
        "benchmark": "math500",
        "problem_id": problem,
        "mode": "sampled",
        "sample": sample,
        "problem": f"Problem {problem}?",
        "gold": f"gold {problem}",
        "answer": answer,
        "correct": right,
        "rule_correct": right,
        "judge_correct": None,
        "judge_tokens": None,
        "majority_answer": majority,
        "majority_correct": False,
    }


def test_gold_and_answer_stand_in_their_own_places(endpoint: Endpoint, tmp_path: Path) -> None:
    recheck(Store(str(tmp_path)), endpoint.config(), 0, [row(3, "half", False)])
    (body,) = endpoint.bodies
    text = body["messages"][1]["content"]
    assert "<gold_answer>\ngold 3\n</gold_answer>" in text
    assert "<given_answer>\nhalf\n</given_answer>" in text
    assert "<problem>\nProblem 3?\n</problem>" in text
    assert (body["model"], body["temperature"]) == ("m", 0.1)


def test_a_verdict_turns_a_failure_right_and_a_pass_wrong(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body: reply(
        "VERDICT: SAME" if "gold 0" in body["messages"][1]["content"] else "VERDICT: DIFFERENT"
    )
    rows = [row(0, "a", False, majority="a"), row(1, "b", True, majority="b"), row(2, None, False)]
    found = recheck(Store(str(tmp_path)), endpoint.config(recheck_passes_share=1.0), 0, rows)
    assert [r["correct"] for r in found] == [True, False, False]
    assert [r["rule_correct"] for r in found] == [False, True, False]
    assert [r["judge_correct"] for r in found] == [True, False, None]
    assert [r["majority_correct"] for r in found] == [True, False, False]
    figures = judge_figures(pl.DataFrame(found))
    assert figures["judge_failures_turned_right"] == figures["judge_passes_turned_wrong"] == 1
    assert figures["judge_tokens"] == 14
    assert (figures["judge_asked"], figures["judge_silent"]) == (2, 0)


def test_an_answer_that_is_missing_is_wrong_and_not_shown(endpoint: Endpoint, tmp_path: Path) -> None:
    (found,) = recheck(Store(str(tmp_path)), endpoint.config(), 0, [row(0, None, False)])
    assert not found["correct"]
    assert endpoint.bodies == []


def test_verdicts_are_kept_by_content(endpoint: Endpoint, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [row(0, "a", False, sample) for sample in range(5)] + [row(1, "a", False)]
    first = recheck(store, endpoint.config(), 0, rows)
    assert len(endpoint.bodies) == 2
    endpoint.answer = lambda body: reply("VERDICT: DIFFERENT")
    assert recheck(store, endpoint.config(), 0, rows) == first
    assert len(endpoint.bodies) == 2
    assert len(store.sizes("judge")) == 2


def test_a_share_of_the_passes_is_rechecked_and_equal_answers_alike(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    rows = [row(number, "a", True, sample) for number in range(300) for sample in range(2)]
    found = recheck(Store(str(tmp_path)), endpoint.config(recheck_passes_share=0.2), 5, rows)
    asked = {r["problem_id"] for r in found if r["judge_correct"] is not None}
    assert len(endpoint.bodies) == len(asked)
    assert 30 <= len(asked) <= 90
    assert all((r["judge_correct"] is not None) == (r["problem_id"] in asked) for r in found)


def test_a_reply_without_a_verdict_leaves_the_rules_grade(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body: reply("I am not sure.")
    found = recheck(
        Store(str(tmp_path)), endpoint.config(recheck_passes_share=1.0), 0,
        [row(0, "a", False), row(1, "b", True)],
    )  # fmt: skip
    assert [r["correct"] for r in found] == [False, True]
    assert judge_figures(pl.DataFrame(found, infer_schema_length=None))["judge_silent"] == 2


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JUDGE_KEY, "sesame-7")
    store = Store(str(tmp_path))
    recheck(store, endpoint.config(), 0, [row(0, "a", False)])
    assert endpoint.keys == ["Bearer sesame-7"]
    (name,) = store.sizes("judge")
    assert b"sesame-7" not in store.read(f"judge/{name}")
    assert "sesame-7" not in endpoint.config().model_dump_json()
    with pytest.raises(ValidationError, match="without a user, a password"):
        JudgeConfig(url="http://me:sesame-7@host/v1", model="m")


def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint) -> None:
    codes = iter([503, 429])
    endpoint.answer = lambda body: (code, {}) if (code := next(codes, 0)) else reply("VERDICT: SAME")
    with JudgeEndpoint(endpoint.config(), QUICK) as judge:
        assert judge.ask(messages_of(Case("p", "g", "a"))).tokens == 7
    assert len(endpoint.bodies) == 3


def test_an_endpoint_that_stays_busy_or_is_not_there_can_be_tried_later(endpoint: Endpoint) -> None:
    endpoint.answer = lambda body: (503, {})
    with (
        JudgeEndpoint(endpoint.config(), QUICK) as judge,
        pytest.raises(EndpointUnavailable, match=f"in {QUICK.attempts} tries .status 503."),
    ):
        judge.ask([])
    nobody = JudgeConfig(url="http://127.0.0.1:9/v1", model="m")
    with JudgeEndpoint(nobody, QUICK) as judge, pytest.raises(EndpointUnavailable):
        judge.ask([])


def test_a_refusal_says_what_to_change_and_stops_the_stage(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body: (401, {"error": "no key"})
    with pytest.raises(StageError, match=rf"refuses: status 401; set {JUDGE_KEY}"):
        recheck(Store(str(tmp_path)), endpoint.config(), 0, [row(n, "a", False) for n in range(3)])
    endpoint.answer = lambda body: (200, {"text": "not a chat"})
    with (
        JudgeEndpoint(endpoint.config()) as judge,
        pytest.raises(EndpointError, match="does not answer as an OpenAI-compatible endpoint"),
    ):
        judge.ask([])


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("VERDICT: SAME", True),
        ("**Verdict:** different.", False),
        ("VERDICT: SAME? No. VERDICT: DIFFERENT", False),
        ("<think>VERDICT: DIFFERENT</think>\nVERDICT: SAME", True),
        ("They are the same.", None),
        ("", None),
    ],
)
def test_the_last_verdict_after_the_thinking_counts(text: str, verdict: bool | None) -> None:
    assert verdict_of(text) is verdict


def _kept(number: int, truth: str | None = None) -> dict[str, Any]:
    return {
        "question_id": number,
        "question": f"q{number}",
        "majority_answer": f"a{number}",
        "true_answer": truth,
    }


def test_pseudo_labels_are_judged_where_the_truth_is_not_known(endpoint: Endpoint, tmp_path: Path) -> None:
    replies = {"q0": "so 4. VERDICT: RIGHT", "q1": "VERDICT: WRONG", "q2": "I cannot say."}
    endpoint.answer = lambda body: reply(
        next(text for key, text in replies.items() if f"\n{key}\n" in body["messages"][1]["content"])
    )
    kept = [_kept(0), _kept(1), _kept(2), _kept(3, truth="5")]
    judged, figures = judge_labels(Store(str(tmp_path)), endpoint.config(), 0, kept)
    assert judged == {0: True, 1: False, 2: None}
    assert figures["label_accuracy_by_judge"] == 0.5
    assert (figures["labels_judged"], figures["label_judge_silent"]) == (2, 1)
    assert figures["label_judge_tokens"] == 21


def test_no_more_labels_are_judged_than_asked_for_and_the_seed_decides_which(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda body: reply("VERDICT: RIGHT")
    kept = [_kept(number) for number in range(30)]
    config = endpoint.config(labels=4)
    chosen = [set(judge_labels(Store(str(tmp_path)), config, seed, kept)[0]) for seed in (0, 0, 1)]
    assert [len(each) for each in chosen] == [4, 4, 4]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_verdict_in_the_words_of_another_question_is_none() -> None:
    assert verdict_of("VERDICT: RIGHT") is None
    assert verdict_of("VERDICT: SAME", "RIGHT", "WRONG") is None
    assert verdict_of("VERDICT: WRONG", "RIGHT", "WRONG") is False
