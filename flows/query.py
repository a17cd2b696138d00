"""Queries in SQL over one table, which read nothing else."""

from __future__ import annotations

import itertools
import re
from typing import Any

from data.foreign import is_plain, one_line
from data.resolve import ConfigError

_LONGEST = 20_000
_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<comment>--|/\*)
    | (?P<text>'(?:[^']|'')*') | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    | (?P<word>[A-Za-z_]\w*) | (?P<number>[0-9][\w.]*) | (?P<sign>[(),.*+/<>=!%\[\]:|&^~-])""",
    re.VERBOSE | re.ASCII,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_PARENTHESIS = _words("""
    all and any as between by case distinct else except exclude exists from having ilike in intersect is join
    like limit not on or order over partition rename select then union using values when where within with
    char decimal float numeric varchar
""")
FUNCTIONS = _words("""
    abs array_agg array_contains array_get array_length array_lower array_mean array_reverse array_sum
    array_to_string array_unique array_upper avg bit_and bit_count bit_length bit_or bit_xor cast cbrt ceil
    ceiling char_length character_length coalesce columns concat concat_ws corr count covar_pop covar_samp
    date date_part dense_rank div ends_with exp extract first first_value floor greatest if ifnull initcap lag
    last last_value lead least left length ln log log10 log1p log2 lower lpad ltrim max median min mod
    normalize nullif octet_length pi position pow power quantile_cont quantile_disc rank regexp_like replace
    reverse right round row_number rpad rtrim sign split_part sqrt starts_with stddev stddev_samp strftime
    string_to_array strpos strptime substr substring sum timestamp trim try_cast unnest upper var var_samp
    variance
""")
"""What a query may call: functions of values. Those that read files are none of these."""


def run_query(frame: Any, query: str) -> Any:
    """What the query makes of the frame, the table `self`; ConfigError for one that fails or reads more."""
    import polars as pl

    _check(query)
    try:
        return frame.sql(query)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ConfigError(f"--sql: {one_line(str(error).partition(chr(10))[0])}") from None


def _check(query: str) -> None:
    """ConfigError unless the query is one SELECT whose every call is of a known function.

    Where polars might read a text otherwise than this does (comments, prefixes of strings, other quotes), the
    query is refused.
    """
    tokens = _tokens(query.strip().removesuffix(";"))
    if not tokens or tokens[0][1].lower() not in ("select", "with"):
        raise ConfigError("--sql: write one query: SELECT … FROM self")
    for (kind, value), (_, following) in itertools.pairwise(tokens):
        word = value.lower()
        is_known = kind == "word" and word in FUNCTIONS | _BEFORE_PARENTHESIS
        if following == "(" and kind in ("word", "name", "text") and not is_known:
            raise ConfigError(f"--sql: there is no function {one_line(value, 60)}; `self` is the one table")
        if word in ("from", "join") and following.startswith("'"):
            raise ConfigError("--sql: `self` is the one table, files are none")


def _tokens(query: str) -> list[tuple[str, str]]:
    if len(query) > _LONGEST or not is_plain("".join(query.split())):
        raise ConfigError(f"--sql: more than {_LONGEST} characters, or a control character among them")
    tokens: list[tuple[str, str]] = []
    at, before = 0, ""
    while at < len(query):
        match = _TOKEN.match(query, at)
        kind = match.lastgroup if match else None
        if match is None or kind is None or kind == "comment" or (kind == "text" and before == "word"):
            raise ConfigError(f"--sql: not understood from {one_line(query[at : at + 20])!r} on")
        if kind != "space":
            tokens.append((kind, match[0]))
        at, before = match.end(), kind
    return tokens
