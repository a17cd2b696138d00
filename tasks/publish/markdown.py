"""Markdown tables of what models wrote: hostile text, shown as it is, with no effect."""

from __future__ import annotations

import re
import unicodedata

import polars as pl

_KEPT, _DROPPED = 8, 8
_LONGEST = 300
# Not what never is markup within a line: some renderers would show the backslash before it.
_PUNCTUATION = re.compile(r"([!#$&(-+\-.<->@\[-`{-~]|:(?=\S))")
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


def fenced(text: str, language: str = "") -> str:
    """Text as a block of code, whatever it holds; nothing for no text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}" if text else ""


def sample_of_questions(scored: pl.DataFrame, most_kept: int = _KEPT, most_dropped: int = _DROPPED) -> str:
    """An even sample of the kept questions of a table `scored`, and some dropped ones of each reason."""
    kept = scored.filter("kept")
    dropped = scored.filter(~pl.col("kept"))
    taken = dropped.with_columns(pl.int_range(pl.len()).over("drop_reason").alias("turn"))
    taken = taken.sort("turn", "question_id").head(most_dropped).sort("drop_reason", "question_id")
    every = max(1, kept.height // max(1, most_kept))
    lines = [
        f"{kept.height} of {scored.height} were kept. p̂ is the share of the answers that agree with the "
        "most frequent one; the true answer is known where the domain can compute it.",
        "",
        "| | question | votes | p̂ | majority | truth | reward |",
        "|---|---|---:|---:|---|---|---:|",
    ]
    for row in (
        *kept.gather_every(every).head(most_kept).iter_rows(named=True),
        *taken.iter_rows(named=True),
    ):
        fate = "kept" if row["kept"] else escaped(row["drop_reason"])
        answered = row["samples"] - row["abstentions"]
        votes = f"{row['votes']} of {answered}" if row["samples"] else "–"
        lines.append(
            f"| {fate} | {escaped(row['question'])} | {votes} | {row['p_hat']:.2f} "
            f"| {escaped(row['majority_answer'])} | {escaped(row['true_answer'])} | {row['reward']:.3f} |"
        )
    return "\n".join(lines)
