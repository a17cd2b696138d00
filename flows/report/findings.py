"""The top of the report: the figures that matter, and what to be careful about in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import polars as pl

from flows.gates.lines import gate_lines
from flows.report import accuracy as acc
from flows.report import questions as q
from flows.report.read import Line, of_line
from flows.text import duration, percent, points

Card = tuple[str, str | None, str]
_LOW_LABELS, _LOW_DOMAIN, _LOW_FORMAT, _LOW_KEPT = 0.7, 0.95, 0.9, 0.1


def tiles(
    lines: Sequence[Line], evaluation: pl.DataFrame, scored: pl.DataFrame
) -> list[tuple[str, list[Card]]]:
    """For each line, cards of title, value and note: accuracy, kept share, labels, time."""
    made = []
    for line in lines:
        cards = _accuracy_cards(line, evaluation)
        mine = of_line(scored, line)
        if not mine.is_empty():
            last = mine.filter(pl.col("iteration") == mine["iteration"].max())
            where = f"iteration {last['iteration'][0]}"
            right = _mean(last.filter("kept")["label_is_right"])
            cards.append(("kept share", percent(_mean(last["kept"])), where))
            if right is not None:
                cards.append(("pseudo-labels that are true", percent(right), f"{where}, kept questions"))
        seconds = sum(item.manifest.seconds for run in line.runs for item in run.steps if item.manifest)
        if seconds:
            over = f"over {len(line.runs)} runs" if len(line.runs) > 1 else "all finished stages"
            cards.append(("time", duration(seconds), over))
        if cards:
            made.append((line.label, cards))
    return made


def _accuracy_cards(line: Line, evaluation: pl.DataFrame) -> list[Card]:
    if evaluation.is_empty():
        return []
    cards = []
    for measure, name in acc.measure_names(evaluation).items():
        ends = _ends(line, evaluation, measure)
        if not ends:
            continue
        before, after = (
            sum(getattr(end, which) for end in ends) / len(ends) for which in ("before", "after")
        )
        lasts = sorted({end.last for end in ends})
        if lasts == [0]:
            cards.append((name, percent(after), "base model"))
            continue
        gain = _spread([end.gain for end in ends])
        noise = "95\u00a0%: " if len(ends) == 1 else ""
        spread = f"{points(gain.value)} points ({noise}{points(gain.low)} to {points(gain.high)})"
        until = "iteration " + "/".join(map(str, lasts))
        cards.append((name, f"{percent(before)} → {percent(after)}", f"base → {until}: {spread}"))
    return cards


class _Ends(NamedTuple):
    """Accuracy of a run's base and of its last iteration, and what was gained between them."""

    before: float
    after: float
    gain: acc.Interval
    last: int


def _ends(line: Line, evaluation: pl.DataFrame, measure: str) -> list[_Ends]:
    """The ends of each measured run."""
    found = []
    for run in line.runs:
        mine = evaluation.filter(pl.col("run") == run.name)
        if mine.is_empty():
            continue
        number = int(mine["iteration"].max())  # type: ignore[arg-type]
        first, last = (
            acc.problem_scores(mine.filter(pl.col("iteration") == i)).filter(pl.col("measure") == measure)
            for i in (0, number)
        )
        before, after, gain = acc.mean_accuracy(first), acc.mean_accuracy(last), acc.gain(first, last)
        if before and after and gain:
            found.append(_Ends(before.value, after.value, gain, number))
    return found


def _spread(gains: Sequence[acc.Interval]) -> acc.Interval:
    """One run's own interval; of several runs the mean with their range."""
    if len(gains) == 1:
        return gains[0]
    values = [gain.value for gain in gains]
    return acc.Interval(sum(values) / len(values), min(values), max(values))


def cautions(
    lines: Sequence[Line], evaluation: pl.DataFrame, probe: pl.DataFrame, scored: pl.DataFrame
) -> list[str]:
    """What to be careful about in the figures, one sentence each, derived from the figures."""
    told = []
    for line in lines:
        head = f"{line.label}: " if len(lines) > 1 else ""
        mine = of_line(scored, line)
        before = of_line(probe, line)
        found = _of_accuracy(line, evaluation) + _of_questions(mine) + _of_training(before, mine)
        told += [head + sentence for sentence in found + _of_gates(line)]
    return told


def _gain(line: Line, evaluation: pl.DataFrame, measure: str) -> acc.Interval | None:
    """The gain from the base to the last iteration; None where none is measured."""
    gains = [end.gain for end in _ends(line, evaluation, measure) if end.last > 0]
    return _spread(gains) if gains else None


def _of_accuracy(line: Line, evaluation: pl.DataFrame) -> list[str]:
    if evaluation.is_empty():
        return []
    greedy, sampled, agreed = (_gain(line, evaluation, measure) for measure in acc.MEASURES)
    noise = "the range of the runs" if len(line.runs) > 1 else "its 95\u00a0% interval"
    told = []
    if sampled and sampled.low > 0 and greedy and greedy.low <= 0:
        told.append(
            f"pass@1 rose by {_size(sampled.value)} points, but greedy accuracy did not clearly rise (by "
            f"{points(greedy.value)} points, {noise} from {points(greedy.low)} to {points(greedy.high)}): "
            "from this alone the gain cannot be told from sharpening, a model grown surer of what it knew."
        )
    if sampled and sampled.low <= 0 <= sampled.high:
        told.append(
            f"pass@1 did not clearly rise: by {points(sampled.value)} points, {noise} from "
            f"{points(sampled.low)} to {points(sampled.high)}."
        )
    for name, found in (("pass@1", sampled), ("The majority's", agreed), ("Greedy", greedy)):
        if found and found.high < 0:
            told.append(f"{name} accuracy fell by {_size(found.value)} points.")
    return told


def _of_questions(scored: pl.DataFrame) -> list[str]:
    """Figures of the questions that are low, each with the iterations in which they are."""
    if scored.is_empty():
        return []
    low: dict[str, list[str]] = {}
    for iteration in sorted(scored["iteration"].unique().to_list()):
        part = scored.filter(pl.col("iteration") == iteration)
        domain = q.in_domain_share(part)
        shares = (
            ("Pseudo-labels that are true", _mean(part.filter("kept")["label_is_right"]), _LOW_LABELS),
            (
                "Questions within the base's domain",
                None if domain.is_empty() else _mean(domain["value"]),
                _LOW_DOMAIN,
            ),
            ("Well-formed candidates", _mean(part["question"].is_not_null()), _LOW_FORMAT),
            ("Candidates that are kept", _mean(part["kept"]), _LOW_KEPT),
        )
        for what, value, least in shares:
            if value is not None and value < least:
                low.setdefault(what, []).append(f"{percent(value)} in iteration {iteration}")
    return [f"{what}: only {_sentence(where)}." for what, where in low.items()]


def _of_training(probe: pl.DataFrame, scored: pl.DataFrame) -> list[str]:
    """Iterations in which the Challenger's uncertainty reward did not rise outside the noise of sampling."""
    if probe.is_empty() or scored.is_empty():
        return []
    before, after = q.mean_by_iteration(probe, "uncertainty"), q.mean_by_iteration(scored, "uncertainty")
    both = after.join(before, on=q.KEYS, suffix="_before").sort(q.KEYS)
    rise = pl.col("value") - pl.col("value_before")
    noise = (
        (pl.col("high") - pl.col("value")) ** 2 + (pl.col("high_before") - pl.col("value_before")) ** 2
    ).sqrt()
    flat = both.filter(rise <= noise)
    if flat.is_empty():
        return []
    which = [str(iteration) for iteration in sorted(flat["iteration"].unique().to_list())]
    return [
        "The uncertainty of fresh questions did not clearly rise with the Challenger's training in "
        f"iteration{'s' if len(which) > 1 else ''} {_sentence(which)}: the 95\u00a0% interval of the "
        "difference reaches 0 or below."
    ]


def _of_gates(line: Line) -> list[str]:
    """What the gates of each run have found, and with which Solver an iteration therefore began."""
    return [
        f"{run.name}: {told}." for run in line.runs for told in gate_lines(run.store, run.config, run.steps)
    ]


def _mean(values: pl.Series) -> float | None:
    """The mean of what is known; None if nothing is known."""
    return cast("float | None", values.cast(pl.Float64).mean())


def _size(difference: float) -> str:
    """A difference in points without its sign."""
    return f"{100 * abs(difference):.1f}"


def _sentence(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
