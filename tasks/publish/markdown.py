"""Markdown tables of what models wrote: hostile text, shown as it is, with no effect."""

from __future__ import annotations

import re
import unicodedata

import polars as pl

_KEPT, _DROPPED = 8, 8
_LONGEST = 300
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_LINKS = re.compile(r"(://|www\.|@)", re.IGNORECASE)


def escaped(text: str | None) -> str:
    """Text as one line of markdown without any markup: no HTML, link, image, code or table cell.

    Control and direction characters become a visible replacement; very long text is cut.
    """
    if text is None:
        return "–"
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    visible = "".join("\N{REPLACEMENT CHARACTER}" if _is_invisible(c) else c for c in line)
    # Renderers link bare addresses even with escaped punctuation; a word joiner prevents that.
    inert = _LINKS.sub("\\1\N{WORD JOINER}", visible)
    return _PUNCTUATION.sub(r"\\\1", inert) or "–"


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def sample_of_questions(scored: pl.DataFrame) -> str:
    """An even sample of the kept questions of a table `scored`, and some dropped ones of each reason."""
    kept = scored.filter("kept")
    dropped = scored.filter(~pl.col("kept"))
    taken = dropped.with_columns(pl.int_range(pl.len()).over("drop_reason").alias("turn"))
    taken = taken.sort("turn", "question_id").head(_DROPPED).sort("drop_reason", "question_id")
    every = max(1, kept.height // _KEPT)
    lines = [
        f"{kept.height} of {scored.height} were kept. p̂ is the share of the answers that agree with the "
        "most frequent one; the true answer is known where the domain can compute it.",
        "",
        "| | question | votes | p̂ | majority | truth | reward |",
        "|---|---|---:|---:|---|---|---:|",
    ]
    for row in (*kept.gather_every(every).head(_KEPT).iter_rows(named=True), *taken.iter_rows(named=True)):
        fate = "kept" if row["kept"] else escaped(row["drop_reason"])
        answered = row["samples"] - row["abstentions"]
        votes = f"{row['votes']} of {answered}" if row["samples"] else "–"
        lines.append(
            f"| {fate} | {escaped(row['question'])} | {votes} | {row['p_hat']:.2f} "
            f"| {escaped(row['majority_answer'])} | {escaped(row['true_answer'])} | {row['reward']:.3f} |"
        )
    return "\n".join(lines)
