"""One plot per stage for Prefect's UI; the report (`rzero report`) has many more.

matplotlib draws them, which the extra 'report' brings; without it there are no plots.
"""

from __future__ import annotations

import base64
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

Read = Callable[[str | None], pl.DataFrame]
"""Reads the stage's main table (None) or a side table."""

# To be read on a white page as well as on a dark one.
_BLUE, _ORANGE, _GREEN, _GREY, _INK, _GRID = (
    "#2e86c1",
    "#d9681d",
    "#1f9d78",
    "#9aa1a9",
    "#737b84",
    "#88888855",
)

_COUNTED = ("training step", "candidates", "questions", "iteration (0: the base model)")


def draw_stage(stage: str, read: Read) -> tuple[Any, str] | None:
    """A matplotlib figure and its caption; None if there is nothing to draw or matplotlib is missing."""
    if stage not in _PLOTS or importlib.util.find_spec("matplotlib") is None:
        return None
    side_table, draw = _PLOTS[stage]
    frame = read(side_table)
    return None if frame.is_empty() else draw(frame)


def image(figure: Any, caption: str) -> str:
    """The figure as an image within markdown: a PNG without a ground of its own."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, transparent=True)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f"![{caption}](data:image/png;base64,{content})\n\n{caption[0].upper()}{caption[1:]}."


def draw_accuracy(lines: Mapping[str, Sequence[tuple[int, float, float, float]]]) -> tuple[Any, str] | None:
    """Accuracy by iteration with its intervals; a line is rows of iteration, value, low and high.

    None if there is nothing to draw or matplotlib is missing.
    """
    if not any(lines.values()) or importlib.util.find_spec("matplotlib") is None:
        return None
    figure, axes = _axes("iteration (0: the base model)", "correct")
    looks = zip((_BLUE, _ORANGE, _GREEN), "osD", (-0.03, 0.0, 0.03), strict=True)
    for (label, rows), (colour, marker, shift) in zip(lines.items(), looks, strict=False):
        at, value, low, high = (np.array(column) for column in zip(*rows, strict=True))
        bars = np.stack([value - low, high - value])
        axes.errorbar(
            at + shift, value, bars, color=colour, marker=marker, markersize=5, capsize=3, label=label
        )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, labelcolor=_INK)
    return figure, "Accuracy on held-out problems, with 95 % intervals"


def _axes(x: str, y: str) -> tuple[Any, Any]:
    # Not pyplot, whose global state belongs to the main thread.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GRID)
    axes.tick_params(colors=_INK)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        if name in _COUNTED:
            axis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _training(frame: pl.DataFrame) -> tuple[Any, str]:
    metrics = frame.sort("step")
    figure, axes = _axes("training step", "reward")
    steps, mean = metrics["step"], metrics["reward_mean"]
    axes.plot(steps, mean, color=_BLUE, marker="o", markersize=4)
    axes.set_ylim(bottom=min(0.0, *mean))
    return figure, "mean reward of each step's rollouts"


def _candidates(frame: pl.DataFrame) -> tuple[Any, str]:
    reasons = frame.select(pl.col("reason").fill_null("well formed"))
    counts = reasons.group_by("reason").len().sort("len", "reason")
    figure, axes = _axes("candidates", "")
    colours = [_BLUE if reason == "well formed" else _ORANGE for reason in counts["reason"]]
    bars = axes.barh(counts["reason"], counts["len"], color=colours, height=0.6)
    axes.bar_label(bars, padding=3, color=_INK)
    axes.grid(axis="y", visible=False)
    return figure, "candidates that are well formed, and why others are not"


def _completions(frame: pl.DataFrame) -> tuple[Any, str]:
    figure, axes = _axes("tokens", "completions")
    ended, cut = (
        frame.filter(pl.col("finish_reason") == why)["tokens"].to_list() for why in ("stop", "length")
    )
    axes.hist(
        [ended, cut], bins=30, stacked=True, color=[_BLUE, _ORANGE], label=["ended", "cut at the limit"]
    )
    axes.legend(frameon=False, loc="upper right", labelcolor=_INK)
    return figure, "how long the completions are"


def _scored(frame: pl.DataFrame) -> tuple[Any, str]:
    voted = frame.filter(pl.col("majority_answer").is_not_null())
    figure, axes = _axes("p̂, the share of answers that agree", "questions")
    edges = [-0.025 + 0.05 * index for index in range(22)]
    kept, dropped = (voted.filter(pl.col("kept") == value)["p_hat"].to_list() for value in (True, False))
    axes.hist([kept, dropped], bins=edges, stacked=True, color=[_BLUE, _GREY], label=["kept", "dropped"])
    axes.legend(frameon=False, loc="upper right", labelcolor=_INK)
    return figure, "how much the Solver's answers agree, and which questions are kept"


def _evaluation(frame: pl.DataFrame) -> tuple[Any, str]:
    accuracy = frame.group_by("benchmark", "mode").agg(pl.col("correct").mean()).sort("benchmark", "mode")
    names = accuracy["benchmark"].unique().sort().to_list()
    figure, axes = _axes("correct", "")
    for offset, (mode, label, colour) in enumerate(
        (("sampled", "pass@1", _BLUE), ("greedy", "greedy", _ORANGE))
    ):
        part = {name: value for name, of, value in accuracy.iter_rows() if of == mode}
        places = [index + 0.38 * offset for index, name in enumerate(names) if name in part]
        if places:
            bars = axes.barh(
                places, [part[name] for name in names if name in part], 0.34, color=colour, label=label
            )
            axes.bar_label(bars, fmt="{:.1%}", padding=3, color=_INK)
    axes.set_yticks([index + 0.19 for index in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2, labelcolor=_INK)
    return figure, "accuracy on held-out problems"


_PLOTS: dict[str, tuple[str | None, Callable[[pl.DataFrame], tuple[Any, str]]]] = {
    "train_challenger": ("metrics", _training),
    "generate_questions": (None, _candidates),
    "sample_answers": (None, _completions),
    "score_and_filter": (None, _scored),
    "train_solver": ("metrics", _training),
    "sample_evaluation": (None, _completions),
    "evaluate": (None, _evaluation),
}
"""The table that a stage's plot shows (None: its main one), and what draws it."""
