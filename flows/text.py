"""Text for people: on the terminal, and numbers with their units."""

from __future__ import annotations

import click

from data.foreign import visible

SPACE = "\u00a0"
"""Between a number and its unit, so that they stay on one line."""


def say(text: str, err: bool = False) -> None:
    """Print a line on the terminal, which obeys no control character in it."""
    click.echo(visible(text, len(text)), err=err)


_NAMES = {
    "probe_reward_mean": "reward before",
    "reward_mean": "reward after",
    "reward_first_step": "reward at first step",
    "reward_last_step": "reward at last step",
}


def shown_name(figure: str) -> str:
    """The one name under which people see a figure: `reward before`, `kept share`, `pass@1`."""
    return _NAMES.get(figure, figure.replace("_", " "))


def all_finished(iterations: int) -> str:
    """That a run of so many iterations is finished."""
    return f"{'its one iteration is' if iterations == 1 else f'all {iterations} iterations are'} finished"


def percent(value: float | None, digits: int = 1) -> str | None:
    """A share in percent; None stays None."""
    return None if value is None else f"{100 * value:.{digits}f}{SPACE}%"


def points(value: float | None) -> str | None:
    """A difference of shares in percentage points, with its sign."""
    return None if value is None else f"{100 * value:+.1f}".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str | None:
    """A number with a fixed count of digits; None stays None."""
    return None if value is None else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str | None:
    """Seconds as `41 s`, `6 min 12 s` or `3 h 05 min`."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(count: int) -> str:
    """Bytes as `812 B`, `4.1 kB` or `2.0 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
