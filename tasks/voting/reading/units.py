"""Units of measurement: what a unit's words mean, as a dimension and a factor.

A unit is a product of powers of base dimensions times an exact factor, so 100 cm equals 1 m and
36 km/h equals 10 m/s, while 5 cm never equals 5 m. A noun that is no known unit ("apples") is a
dimension of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from tasks.voting.reading.lexicon import NOT_NOUNS

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


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}

    def add(names: str, factor: str, **powers: int) -> None:
        for name in names.split():
            table[name] = Unit(Fraction(factor), tuple(sorted(powers.items())))

    prefixes = [
        ("n", "nano", "1e-9"), ("u", "micro", "1e-6"), ("m", "milli", "1e-3"), ("c", "centi", "1e-2"),
        ("d", "deci", "1e-1"), ("", "", "1"), ("k", "kilo", "1e3"), ("M", "mega", "1e6"),
        ("G", "giga", "1e9"),
    ]  # fmt: skip
    metric = [
        ("m", "meter metre", Fraction(1), {"length": 1}),
        ("g", "gram gramme", Fraction(1, 1000), {"mass": 1}),
        ("s", "second", Fraction(1), {"time": 1}),
        ("L", "liter litre", Fraction(1, 1000), {"length": 3}),
        ("N", "newton", Fraction(1), {"mass": 1, "length": 1, "time": -2}),
        ("J", "joule", Fraction(1), {"mass": 1, "length": 2, "time": -2}),
        ("W", "watt", Fraction(1), {"mass": 1, "length": 2, "time": -3}),
        ("Pa", "pascal", Fraction(1), {"mass": 1, "length": -1, "time": -2}),
        ("Hz", "hertz", Fraction(1), {"time": -1}),
        ("V", "volt", Fraction(1), {"volt": 1}),
        ("A", "ampere amp", Fraction(1), {"ampere": 1}),
        ("mol", "mole", Fraction(1), {"mole": 1}),
        ("B", "byte", Fraction(1), {"byte": 1}),
        ("eV", "electronvolt", Fraction(1), {"electronvolt": 1}),
    ]  # fmt: skip
    for symbol, words, base, powers in metric:
        for short, long, scale in prefixes:
            unit = Unit(base * Fraction(scale), tuple(sorted(powers.items())))
            table[short + symbol] = unit
            for word in words.split():
                table[long + word] = table[long + word + "s"] = unit
    for symbol in ("l", "ml", "dl", "cl", "kl"):
        table[symbol] = table[symbol[:-1] + "L"]
    add("cc", "1e-6", length=3)
    add("inch inches in", "0.0254", length=1)
    add("foot feet ft", "0.3048", length=1)
    add("yard yards yd yds", "0.9144", length=1)
    add("mile miles mi", "1609.344", length=1)
    add("hectare hectares ha", "10000", length=2)
    add("acre acres", "4046.8564224", length=2)
    add("gallon gallons gal", "0.003785411784", length=3)
    add("tonne tonnes", "1000", mass=1)
    add("pound pounds lb lbs", "0.45359237", mass=1)
    add("ounce ounces oz", "0.028349523125", mass=1)
    add("sec secs", "1", time=1)
    add("minute minutes min mins", "60", time=1)
    add("hour hours hr hrs h", "3600", time=1)
    add("day days", "86400", time=1)
    add("week weeks", "604800", time=1)
    add("month months", "1", month=1)
    add("year years yr yrs", "12", month=1)
    add("mph", "0.44704", length=1, time=-1)
    add("kph kmph", "5/18", length=1, time=-1)
    add("degree degrees deg", "1", degree=1)
    add("radian radians rad rads", "1", radian=1)
    add("degF", "1", fahrenheit=1)
    add("degC", "1", celsius=1)
    add("K kelvin kelvins", "1", kelvin=1)
    add("ohm ohms", "1", ohm=1)
    add("usd dollar dollars USD", "1", dollar=1)
    add("cent cents", "0.01", dollar=1)
    add("eur euro euros EUR", "1", euro=1)
    add("gbp GBP", "1", sterling=1)
    add("jpy yen JPY", "1", yen=1)
    return table


KNOWN = _table()
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER_WORDS = {"squared": 2, "cubed": 3}
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
