"""Colours of the charts. Each light colour has a dark twin, which the page's script swaps in.

The series colours are Okabe and Ito's, which people with colour-blindness tell apart; symbols and dashes
differ too, so that no chart rests on colour alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SERIES = ("#0072b2", "#d55e00", "#008566", "#b0569a", "#a87400", "#3c8cc8", "#6b6f76", "#8a3b12")
_SERIES_DARK = ("#56b4e9", "#ff8f4d", "#3ccfa4", "#e79ac8", "#f0b93a", "#9fd0f5", "#a9aeb6", "#d99a76")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")

PAPER, INK, QUIET, GRID, BAND = "#fffffe", "#1c2024", "#5d646c", "#dfe3e7", "#eef2dc"
BASE = "#7b8188"
_ROLES_DARK = {
    PAPER: "#171b20",
    INK: "#e7eaee",
    QUIET: "#a4acb5",
    GRID: "#353c44",
    BAND: "#2b301f",
    BASE: "#959ca5",
}


def _ramp(*ends: str) -> list[str]:
    """Thirteen colours at even distances, through `ends`."""
    channels = np.array([[int(end[i : i + 2], 16) for i in (1, 3, 5)] for end in ends]).T
    at = np.linspace(0, len(ends) - 1, 13)
    mixed = np.rint([np.interp(at, range(len(ends)), channel) for channel in channels]).astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in mixed.T]


_RAMP = _ramp("#de7a1a", "#c33e4f", "#8b2a86", "#3d1f85")
_RAMP_DARK = _ramp("#ffca70", "#ff9a66", "#f277ae", "#b59cff")

DARK_TWINS: dict[str, str] = {
    **_ROLES_DARK,
    **dict(zip(SERIES, _SERIES_DARK, strict=True)),
    **dict(zip(_RAMP, _RAMP_DARK, strict=True)),
}
"""The dark colour for each light one."""


def series_colour(index: int) -> str:
    """Colour of a series, again from the start after the eighth."""
    return SERIES[index % len(SERIES)]


def look(index: int) -> dict[str, Any]:
    """Colour, symbol and dash of a series."""
    return {
        "colour": series_colour(index),
        "symbol": SYMBOLS[index % len(SYMBOLS)],
        "dash": DASHES[index % len(DASHES)],
    }


def iteration_colour(iteration: int, last: int) -> str:
    """Grey for the base model, then from orange (early) to violet (late)."""
    if iteration == 0:
        return BASE
    return _RAMP[round((iteration - 1) / (last - 1) * (len(_RAMP) - 1))] if last > 1 else _RAMP[-1]
