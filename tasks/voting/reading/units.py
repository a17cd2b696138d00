"""Units of measurement: what a unit's words mean, as a dimension and a factor, and where they begin.

A unit is a product of powers of base dimensions times an exact factor, so 100 cm equals 1 m and
36 km/h equals 10 m/s, while 5 cm never equals 5 m. A noun that is no known unit ("apples") is a
dimension of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from tasks.voting.reading.lexicon import FUNCTIONS, JOINERS, NOT_NOUNS, is_word
from tasks.voting.reading.normalise import DEGREE
from tasks.voting.reading.tokens import NUMERALS, Token

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """A factor to base units and the powers of the base dimensions, sorted by name."""

    factor: Fraction
    dimension: Dimension

    def times(self, other: Unit, power: int) -> Unit:
        """This unit times `other` to an integer power."""
        powers = dict(self.dimension)
        for name, exponent in other.dimension:
            powers[name] = powers.get(name, 0) + exponent * power
        kept = tuple(sorted((name, exponent) for name, exponent in powers.items() if exponent))
        return Unit(self.factor * other.factor**power, kept)


NONE = Unit(Fraction(1), ())


_PREFIXES = [
    ("n", "nano", "1e-9"), ("u", "micro", "1e-6"), ("m", "milli", "1e-3"), ("c", "centi", "1e-2"),
    ("d", "deci", "1e-1"), ("", "", "1"), ("k", "kilo", "1e3"), ("M", "mega", "1e6"), ("G", "giga", "1e9"),
]  # fmt: skip
# Symbol, words, factor and dimension of the units that take prefixes.
_METRIC = [
    ("m", "meter metre", "1", "length"), ("g", "gram gramme", "1/1000", "mass"), ("s", "second", "1", "time"),
    ("L", "liter litre", "1/1000", "length^3"), ("l", "", "1/1000", "length^3"),
    ("Hz", "hertz", "1", "time^-1"), ("N", "newton", "1", "mass length time^-2"),
    ("J", "joule", "1", "mass length^2 time^-2"),
    ("W", "watt", "1", "mass length^2 time^-3"), ("Pa", "pascal", "1", "mass length^-1 time^-2"),
    ("V", "volt", "1", "volt"), ("A", "ampere amp", "1", "ampere"), ("mol", "mole", "1", "mole"),
    ("B", "byte", "1", "byte"), ("eV", "electronvolt", "1", "electronvolt"),
]  # fmt: skip
_PLAIN = {
    "length": "inch inches in=0.0254 foot feet ft=0.3048 yard yards yd yds=0.9144 mile miles mi=1609.344",
    "length^2": "hectare hectares ha=10000 acre acres=4046.8564224",
    "length^3": "cc=0.000001 gallon gallons gal=0.003785411784",
    "mass": "tonne tonnes=1000 pound pounds lb lbs=0.45359237 ounce ounces oz=0.028349523125",
    "time": "sec secs=1 minute minutes min mins=60 hour hours hr hrs h=3600 day days=86400 week weeks=604800",
    "month": "month months=1 year years yr yrs=12",
    "length time^-1": "mph=0.44704 kph kmph=5/18",
    "degree": "degree degrees deg=1",
    "radian": "radian radians rad rads=1",
    "fahrenheit": "degF=1",
    "celsius": "degC=1",
    "kelvin": "K kelvin kelvins=1",
    "ohm": "ohm ohms=1",
    "dollar": "usd dollar dollars USD=1 cent cents=0.01",
    "euro": "eur euro euros EUR=1",
    "sterling": "gbp GBP=1",
    "yen": "jpy yen JPY=1",
}


def _unit(factor: Fraction, dimension: str) -> Unit:
    powers = (part.partition("^") for part in dimension.split())
    return Unit(factor, tuple(sorted((name, int(power or 1)) for name, _, power in powers)))


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}
    for symbol, words, base, dimension in _METRIC:
        for short, long, scale in _PREFIXES:
            names = [
                short + symbol,
                *(long + word + plural for word in words.split() for plural in ("", "s")),
            ]
            table |= dict.fromkeys(names, _unit(Fraction(base) * Fraction(scale), dimension))
    for dimension, text in _PLAIN.items():
        for names, factor in re.findall(r"([A-Za-z ]+)=([\d./]+)", text):
            table |= dict.fromkeys(names.split(), _unit(Fraction(factor), dimension))
    return table


KNOWN = _table()
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER_WORDS = {"squared": 2, "cubed": 3}
_UNIT_MARKS = frozenset(("/", "*", "^", "\\cdot", "{", "}", "-"))
_ATOM = re.compile(r"([A-Za-z]+)\.?(?:\s*\^\s*\{?\s*(-?[1-9])\s*\}?)?|(/|\*)|(\s+|-)")


def is_money(word: str) -> bool:
    """Whether a word is a currency, which may stand before its amount."""
    unit = KNOWN.get(word)
    return unit is not None and unit.dimension in [
        KNOWN[name].dimension for name in ("usd", "eur", "gbp", "jpy")
    ]


def parse(text: str, nouns: bool) -> Unit | None:
    """The unit that a text such as "km/h", "square meters" or "m^2" means, None if it is none.

    With `nouns`, words that are no known units count as things of their own ("apples", "apple").
    """
    result = NONE
    last = NONE
    sign, power, position, atoms = 1, 1, 0, 0
    per = dangling = False
    while position < len(text):
        match = _ATOM.match(text, position)
        if match is None:
            return None
        position = match.end()
        word, exponent, operator, _ = match.groups()
        if word or operator:
            dangling = word in (None, "per")
        if operator == "/" or word == "per":
            if per and operator:
                return None
            sign, per = -1, True
        elif operator == "*" or word is None:
            continue
        elif word in _POWER_WORDS:
            power = _POWER_WORDS[word]
        elif word in _AFTER_WORDS:
            if atoms == 0:
                return None
            result = result.times(last, sign * (_AFTER_WORDS[word] - 1))
        else:
            unit = _atom(word, nouns)
            if unit is None:
                return None
            last = unit
            result = result.times(unit, sign * power * int(exponent or 1))
            power = 1
            atoms += 1
    return result if atoms and power == 1 and not dangling else None


def _atom(word: str, nouns: bool) -> Unit | None:
    found = KNOWN.get(word)
    if found is None and len(word) > 2:
        found = KNOWN.get(word.lower())
    if found is not None or not nouns:
        return found
    lower = word.lower()
    if lower in NOT_NOUNS or len(lower) < 2:
        return None
    return Unit(Fraction(1), ((_singular(lower), 1),))


def _singular(word: str) -> str:
    for plural, ending in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss")):
        if word.endswith(plural) and len(word) > len(plural) + 1:
            return word[: -len(plural)] + ending
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1]
    return word


def split_unit(tokens: list[Token]) -> tuple[list[Token], Unit | None, bool]:
    """(tokens of the value, unit, whether it is surely a unit) of an answer such as "5 cm"."""
    if not tokens:
        return tokens, None, False
    first = tokens[0]
    if first.kind == "text" and is_money(first.text) and len(tokens) > 1:
        money = KNOWN[first.text]
        if all(t.kind not in ("text", "letters") for t in tokens[1:]):
            return tokens[1:], money, True
    if first.text in ("-", "+") and len(tokens) > 2 and tokens[1].kind == "text":
        rest, unit, sure = split_unit(tokens[1:])
        return ([first, *rest], unit, sure) if unit is not None else (tokens, None, False)
    for start in range(1, len(tokens)):
        token, before = tokens[start], tokens[start - 1]
        if (token.text == DEGREE and start == len(tokens) - 1) or _is_temperature(tokens[start:]):
            if any(t.text.lstrip("\\") in FUNCTIONS for t in tokens):
                break  # An angle inside a function is a number, not an answer in degrees.
            names = {"C": "degC", "F": "degF"}
            unit = KNOWN[names.get(tokens[-1].text.strip(), "deg")]
            return tokens[:start], unit, True
        if token.kind not in ("letters", "text") or not _ends_value(before):
            continue
        tail = tokens[start:]
        if not all(t.kind in ("letters", "text", "number") or t.text in _UNIT_MARKS for t in tail):
            continue
        if any(is_operator(t) for t in tokens[:start]):
            continue
        spelled = " ".join(t.text.replace("\\cdot", "*") for t in tail)
        literal = all(t.kind in ("number", "science") or t.text in ("/", "-", "+") for t in tokens[:start])
        nouns = token.kind == "text" or (literal and is_word(token.text) and token.spaced)
        unit = parse(spelled, nouns)
        if unit is not None:
            sure = token.kind == "text" or token.spaced or len(token.text) > 1
            return tokens[:start], unit, sure
    return tokens, None, False


def is_operator(token: Token) -> bool:
    """Whether a token splits an answer into several items or sides."""
    return token.text in ("=", "<", ">", ",", ";", "\\le", "\\ge", "\\ne", "\\in", "\\cup", "\\cap") or (
        token.kind in ("letters", "text") and token.text.lower() in JOINERS
    )


def _is_temperature(tail: list[Token]) -> bool:
    return len(tail) == 2 and tail[0].text == DEGREE and tail[1].text.strip() in ("C", "F")


def _ends_value(token: Token) -> bool:
    return token.kind in NUMERALS or token.text in (")", "}", "]", "!", "|", "\\pi")
