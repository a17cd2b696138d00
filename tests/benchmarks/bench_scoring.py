"""Scoring against its peers, measured side by side.

    python -m tests.benchmarks.bench_scoring [--quick] [--full]

CPU seconds of the process and its children; each case runs in a process of its own, so that its peak
memory is its own. A peer that would take many minutes is measured on a part of the work and scaled
by the number of pairs of questions or of answers, which is said in the table; `--full` measures the
nltk loop on all of it. mathruler is not among the project's packages: the line is left out without it.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.scoring_data import answer_samples, collapsed_questions, diverse_questions

MAKERS = {"diverse": diverse_questions, "collapsed": collapsed_questions}
CORPUS = Path(__file__).parents[1] / "corpus"
Result = dict[str, Any]


def cpu_seconds() -> float:
    """CPU time of this process and of its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_megabytes() -> float:
    """Peak resident memory of this process or of its largest child."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(usage.ru_maxrss for usage in usages) / 1024


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and result of a call."""
    start = cpu_seconds()
    result = work()
    return cpu_seconds() - start, result


def repetition_case(count: int, kind: str, peer_count: int) -> Result:
    """The repetition penalty of one batch, and nltk with scikit-learn on its first `peer_count` questions."""
    from tasks.rewards.challenger import cluster_numbers, cluster_shares

    questions = MAKERS[kind](count)
    cluster_shares(questions[:64])
    seconds, shares = timed(lambda: cluster_shares(questions))
    result: Result = {"seconds": seconds, "megabytes": peak_megabytes(), "largest": float(shares.max())}
    if peer_count:
        part = questions[:peer_count]
        peer_seconds, labels = timed(lambda: _peer_labels(part))
        scale = (count * (count - 1)) / (peer_count * (peer_count - 1))
        own = cluster_numbers(part).tolist()
        result["peer_seconds"] = peer_seconds * scale
        result["measured_pairs"] = 1 / scale
        result["same"] = len(set(zip(own, labels, strict=True))) == len(set(own)) == len(set(labels))
    return result


def _peer_labels(questions: Sequence[str]) -> list[int]:
    import numpy as np
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from sklearn.cluster import AgglomerativeClustering

    smoothing = SmoothingFunction().method1
    matrix = np.zeros((len(questions), len(questions)))
    for i, hypothesis in enumerate(questions):
        for j in range(i + 1, len(questions)):
            score = sentence_bleu([questions[j].split()], hypothesis.split(), smoothing_function=smoothing)
            matrix[i, j] = matrix[j, i] = 1.0 - score
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=0.5
    )
    labels: list[int] = model.fit(matrix).labels_.tolist()
    return labels


def votes_case(count: int) -> Result:
    """Votes on `count` questions with 10 answers each."""
    from tasks.voting.equivalence import Grader
    from tasks.voting.votes import majority

    samples = answer_samples(count)

    def work() -> Any:
        with Grader() as grader:
            return majority(samples, grader), grader.timeouts

    seconds, (votes, timeouts) = timed(work)
    backwards = [question[::-1] for question in samples]
    with Grader() as grader:
        same = majority(backwards, grader) == votes
    return {"seconds": seconds, "megabytes": peak_megabytes(), "same": same, "timeouts": timeouts}


def peer_votes_case(peer: str, count: int) -> Result:
    """Greedy grouping of the same answers by a peer: each answer against the groups so far, both ways."""
    equal = _peer_equality(peer)
    if equal is None:
        return {"missing": True}
    samples = answer_samples(count)

    def work() -> None:
        for question in samples:
            leaders: list[str] = []
            for answer in question:
                if answer is None:
                    continue
                if not any(answer == leader or equal(answer, leader) for leader in leaders):
                    leaders.append(answer)

    equal("1", "2")
    seconds, _ = timed(work)
    return {"seconds": seconds, "megabytes": peak_megabytes()}


def _peer_equality(peer: str) -> Callable[[str, str], bool] | None:
    if peer == "mathruler":
        try:
            from mathruler.grader import grade_answer
        except ImportError:
            return None
        return lambda a, b: bool(grade_answer(a, b) or grade_answer(b, a))
    from math_verify import parse, verify

    def naive(a: str, b: str) -> bool:
        left, right = parse(f"${a}$"), parse(f"${b}$")
        return bool(verify(left, right) or verify(right, left))

    return naive


def hang_case() -> Result:
    """Every hostile answer of the corpus against 5, among answers that are not hostile."""
    import time
    from pathlib import Path

    from tasks.voting.equivalence import Grader

    corpus = Path(__file__).parents[1] / "corpus" / "hostile.jsonl"
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    answers = [
        row["answer"] if "answer" in row else "".join(piece * times for piece, times in row["repeat"])
        for row in rows
    ]
    longest, graded = 0.0, 0
    with Grader() as grader:
        grader.equivalent([(r"\sum_{k=1}^{3} k", "6")])
        for answer in answers:
            start = time.perf_counter()
            verdicts = grader.equivalent([(answer, "5"), ("1/2", "0.5"), (r"\sum_{k=1}^{4} k", "10")])
            longest = max(longest, time.perf_counter() - start)
            graded += verdicts[1:] == [True, True]
        counts = {"timeouts": grader.timeouts, "failures": grader.failures, "refusals": grader.refusals}
    return {
        "count": len(answers),
        "graded": graded,
        "longest": longest,
        "megabytes": peak_megabytes(),
        **counts,
    }


def pairs_case() -> Result:
    """Pairs judged by hand, for this grader and the peers."""
    rows = [
        json.loads(line)
        for name in ("equal_or_not.jsonl", "classes.jsonl")
        for line in (CORPUS / name).read_text(encoding="utf-8").splitlines()
    ]
    return _judged([(row["a"], row["b"], row["equal"]) for row in rows])


def mutants_case() -> Result:
    """The answers of the mutation test against themselves with the last digit changed."""
    answers = [
        line
        for line in (CORPUS / "answers.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#") and re.search(r"\d(?=\D*$)", line)
    ]
    changed = [re.sub(r"\d(?=\D*$)", lambda m: str((int(m.group()) + 3) % 10), text) for text in answers]
    return _judged([(a, b, False) for a, b in zip(answers, changed, strict=True)])


def _judged(rows: Sequence[tuple[str, str, bool]]) -> Result:
    """How many pairs each grader calls equal wrongly, and how many it decides right."""
    from tasks.voting.equivalence import Grader

    verdicts: dict[str, list[bool]] = {}
    with Grader() as grader:
        verdicts["rzero"] = [bool(verdict) for verdict in grader.equivalent([(a, b) for a, b, _ in rows])]
    for peer in ("mathruler", "math-verify"):
        equal = _peer_equality(peer)
        if equal is not None:
            verdicts[peer] = [equal(a, b) for a, b, _ in rows]
    return {
        "pairs": len(rows),
        **{
            name: {
                "right": sum(v == row[2] for v, row in zip(found, rows, strict=True)) / len(rows),
                "wrongly_equal": sum(v and not row[2] for v, row in zip(found, rows, strict=True)),
            }
            for name, found in verdicts.items()
        },
    }


CASES: dict[str, Callable[..., Result]] = {
    "repetition": repetition_case,
    "votes": votes_case,
    "peer-votes": peer_votes_case,
    "hangs": hang_case,
    "pairs": pairs_case,
    "mutants": mutants_case,
}


def run_case(name: str, *arguments: int | str) -> Result:
    """Run a case in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.bench_scoring",
        "--case",
        json.dumps([name, *arguments]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"case {name} {arguments} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def report(quick: bool, full: bool) -> None:
    """Run all cases and print the tables."""
    print("Repetition penalty (CPU s; peer: nltk sentence_bleu in a double loop + scikit-learn)", flush=True)
    print(f"{'questions':>22} {'CPU s':>8} {'peak MB':>8} {'peer CPU s':>11} {'ratio':>7}  peer measured on")
    sizes = (
        [(512, 96), (2048, 128)]
        if quick
        else [(512, 160), (2048, 2048 if full else 256), (8192, 0), (16384, 0)]
    )
    for count, peer_count in sizes:
        for kind in MAKERS:
            row = run_case("repetition", count, kind, peer_count)
            line = f"{count:>12} {kind:>9} {row['seconds']:>8.2f} {row['megabytes']:>8.0f}"
            if peer_count:
                ratio = row["peer_seconds"] / row["seconds"]
                same = "the same" if row["same"] else "DIFFERENT"
                line += f" {row['peer_seconds']:>11.1f} {ratio:>6.0f}x  {row['measured_pairs']:.1%} of pairs"
                line += f", partition {same}"
            print(line, flush=True)

    questions, peer_questions = (500, 40) if quick else (8000, 200)
    own = run_case("votes", questions)
    speed = 10 * questions / own["seconds"]
    order = "the same" if own["same"] else "DIFFERENT"
    print("\nVotes (10 answers a question)")
    print(
        f"{'rzero':>14} {speed:>8.0f} answers/CPU s  {own['megabytes']:>5.0f} MB   reversed samples: {order}",
        flush=True,
    )
    for peer in ("mathruler", "math-verify"):
        row = run_case("peer-votes", peer, peer_questions)
        if row.get("missing"):
            print(f"{peer:>14}  not installed")
            continue
        peer_speed = 10 * peer_questions / row["seconds"]
        print(
            f"{peer:>14} {peer_speed:>8.0f} answers/CPU s  {row['megabytes']:>5.0f} MB   "
            f"rzero is {speed / peer_speed:.1f} times as fast ({peer_questions} questions measured)",
            flush=True,
        )

    for case, title in (("mutants", "Answers with a digit changed"), ("pairs", "Pairs judged by hand")):
        row = run_case(case)
        print(f"\n{title} ({row.pop('pairs')})")
        for name, found in row.items():
            print(f"{name:>14} {found['wrongly_equal']:>3} wrongly equal, {found['right']:>6.1%} right")
    row = run_case("hangs")
    print(
        f"\nHostile answers ({row['count']}, limit 2 s): longest {row['longest']:.2f} s, "
        f"{row['timeouts']} timed out, {row['refusals']} refused, {row['failures']} out of memory; "
        f"other answers graded beside {row['graded']} of {row['count']}; peak {row['megabytes']:.0f} MB"
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute")
    parser.add_argument(
        "--full", action="store_true", help="the whole nltk loop at 2048 questions, many minutes"
    )
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        name, *arguments = json.loads(options.case)
        print(json.dumps(CASES[name](*arguments)))
    else:
        report(options.quick, options.full)


if __name__ == "__main__":
    main()
