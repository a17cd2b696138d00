r"""Writing an answer plainly: unicode, spacing, delimiters and synonyms of LaTeX brought to one form.

What stands inside `\text{}` and its relatives is kept as one mark, TEXT_OPEN + content + TEXT_CLOSE,
because it is words and not a product of variables.
"""

from __future__ import annotations

import re
import unicodedata

from tasks.voting.reading.lexicon import FUNCTION_ALIASES, FUNCTIONS, SCALES

TEXT_OPEN, TEXT_CLOSE = "\x01", "\x02"
DEGREE = "\x03"

# What each of some characters is written as.
_WRITTEN = {
    "−‐‑‒–—﹣": "-", "×⨯": r"\times ", "·⋅∙•": r"\cdot ", "÷⁄∕": "/", "∞": r"\infty ", "πϖ𝜋": r"\pi ",
    "≤⩽≦": r"\le ", "≥⩾≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "±": r"\pm ",
    "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∖": r"\setminus ", "∅⌀": r"\emptyset ",
    "√": r"\sqrt ", "ℝ": r"\mathbb{R}",
    "⟨": r"\langle ", "⟩": r"\rangle ", "…": r"\ldots ", "°º˚": DEGREE, "‘’′ʹ": "'",
    "“”": '"', "µ": "u", "€": f"{TEXT_OPEN}eur{TEXT_CLOSE}", "£": f"{TEXT_OPEN}gbp{TEXT_CLOSE}",
    "¥": f"{TEXT_OPEN}jpy{TEXT_CLOSE}",
}  # fmt: skip
_GREEK = (
    "αalpha βbeta γgamma δdelta εepsilon ζzeta ηeta θtheta ιiota κkappa λlambda μmu νnu ξxi ρrho σsigma "
    "τtau υupsilon φphi χchi ψpsi ωomega ΓGamma ΔDelta ΘTheta ΛLambda ΞXi ΣSigma ΦPhi ΨPsi ΩOmega"
)
_UNICODE_TABLE = str.maketrans(
    {character: text for characters, text in _WRITTEN.items() for character in characters}
    | {name[0]: rf"\{name[1:]} " for name in _GREEK.split()}
)
_COMPOSED = re.compile(
    "|".join(
        f"[{''.join(found)}]" + ("" if kind == "<fraction>" else "+")
        for kind in ("<super>", "<sub>", "<fraction>")
        if (found := [c for c in map(chr, range(0x2190)) if unicodedata.decomposition(c).startswith(kind)])
    )
)

_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|up|sc)?|mathrm|mathbf|mathsf|mathtt|mathit|mbox|hbox|operatorname\*?|rm|bf)"
    r"\s*\{([^{}]*)\}"
)
_BOLD = re.compile(r"\\(?:mathbf|boldsymbol|mathcal|mathit|bm)\s*\{\s*([A-Za-z])\s*\}")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_COMMANDS = {
    name: replacement
    for replacement, names in {
        " ": "left right bigl bigr Bigl Bigr biggl biggr Biggl Biggr big Big bigg Bigg mleft mright limits "
        "nolimits displaystyle textstyle mathstrut strut middle underline nonumber boxed thinspace "
        "enspace space",
        r"\quad": "qquad", r"\frac": "dfrac tfrac cfrac", r"\binom": "dbinom tbinom", r"\ne": "neq",
        r"\le": "leq leqslant leqq", r"\ge": "geq geqslant geqq", "<": "lt", ">": "gt", "*": "ast",
        "|": "lvert rvert vert mid lVert rVert", r"\ldots": "dots cdots dotsc dotso",
        r"\emptyset": "varnothing",
        r"\{": "lbrace", r"\}": "rbrace", "(": "lparen", ")": "rparen", "[": "lbrack", "]": "rbrack",
        r"\setminus": "backslash smallsetminus", DEGREE: "degree textdegree",
    }.items()
    for name in names.split()
}  # fmt: skip
_SPACE = re.compile(r"(?<!\\)\\[,:; >!]|\\hspace\s*\{[^{}]*\}|~|\s+")
_NOTHING = re.compile(
    r"(?<=\d)\s*\\!\s*(?=,)|(?<=,)\s*\\!\s*(?=\d{3})|\\(?:left|right|mleft|mright)\s*\.(?!\d)"
    r"|\\(?:hfill(?![A-Za-z])|phantom\s*\{[^{}]*\})|[\u200b-\u200f\u2060\ufeff]"
)
# Tried only where the text holds the first item.
_SYNONYMS: list[tuple[str, re.Pattern[str], str]] = [
    (mark, re.compile(pattern), replacement)
    for mark, pattern, replacement in (
        ("<=", r"<=", r"\\le "),
        (">=", r">=", r"\\ge "),
        ("!=", r"!=", r"\\ne "),
        ("==", r"==", "="),
        ("...", r"\.\.\.+", r"\\ldots "),
        ("**", r"\*\*", "^"),
        ("\\%", r"\\%", "%"),
        ("\\circ", r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))", DEGREE),
        ("\\over", r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}", r"\\frac{\1}{\2}"),
        ("\\choose", r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        ("\\#", r"\\#", "#"),
        ("\\_", r"\\_", "_"),
        ("\\&", r"\\&", "&"),
        (
            "p",
            rf"(?<=[\d}})])\s*{TEXT_OPEN}?\s*(?:per ?cent(?:age)?|pct)\b(?! points?)\.?\s*{TEXT_CLOSE}?",
            "%",
        ),
        ("U", r"(?<=[\])])\s*U\s*(?=[\[(])", r"\\cup "),
        ("C", r"(?:\{\})?[\^_]\s*\{?(\d+)\}?\s*C\s*_\s*\{?(\d+)\}?", r"\\binom{\1}{\2}"),
        ("C", r"(?<![A-Za-z\\])C\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", r"\\binom{\1}{\2}"),
    )
]
_SCALE = re.compile(rf"(?<=[\d}})])\s*({TEXT_OPEN}?)\s*({'|'.join(SCALES)})\b[ ~]*({TEXT_CLOSE}?)")
# Backslashes doubled by JSON, where a line break makes no sense.
_DOUBLED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|left|right|sqrt|pi|text|[lg]eq?|infty|cup|cdot|times|pm|in|circ|mathrm)(?![A-Za-z]))"
)
_PRIMES = re.compile(r"\^\s*(?:\{(?:\s*\\prime)+\s*\}|\\prime(?![A-Za-z]))")
_LEAD = re.compile(
    rf"^(?:{TEXT_OPEN}?(?:the|my)?\s*(?:final\s+)?answer\s*(?:is|:|=)\s*{TEXT_CLOSE}?|=\s*|\\approx\s*|\\therefore\s*"
    r"|(?:option|choice)\s+(?=\(?[A-Z]\)?$)|(?:approximately|about)\s+(?=[\d.]))",
    re.IGNORECASE,
)
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d])(?! ?/)")
_COMMA_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")


def plain(answer: str) -> str:
    """The answer in one plain spelling; linear in its length. Meaning is kept, layout is not."""
    text = answer.strip()
    if text.isascii():
        if text.isalnum():
            return text
    else:
        text = _from_unicode(text)
    text = _without_dollars(text)
    text = _NOTHING.sub("", text)
    if "\\" in text or "{" in text:
        if "\\\\" in text and r"\begin" not in text:
            text = _DOUBLED.sub(r"\\", text)
        text = text.replace("{,}", ",").replace("\\\\", " \\\\ ")
        text = _BOLD.sub(r" \1 ", text)
        text = _TEXT.sub(_words, _TEXT.sub(_words, text))
        text = _COMMAND.sub(lambda m: _COMMANDS.get(m.group(1), m.group()), text)
    for mark, pattern, replacement in _SYNONYMS:
        if mark in text:
            text = pattern.sub(replacement, text)
    text = _SCALE.sub(_scaled, text)
    if "prime" in text:
        text = _PRIMES.sub(lambda m: "'" * m.group().count("prime"), text)
    text = _SPACE.sub(" ", text).strip()
    text = _trim(text)
    text = _SPACED_THOUSANDS.sub(lambda m: m.group().replace(" ", ""), text)
    return _join_thousands(text)


def _words(match: re.Match[str]) -> str:
    r"""What stands in \text{}: words, or the name of a function."""
    content = match.group(1).replace(TEXT_OPEN, "").replace(TEXT_CLOSE, "")
    name = FUNCTION_ALIASES.get(content.strip(), content.strip())
    after = match.string[match.end() :].lstrip()[:1]
    called = match.group().startswith(r"\operatorname") or (after and after in "({_^")
    return rf"\{name} " if called and name in FUNCTIONS else f" {TEXT_OPEN}{content}{TEXT_CLOSE} "


def _scaled(match: re.Match[str]) -> str:
    """ "5 million" as a power of ten; other words of the same text stay where they are."""
    opened, word, closed = match.groups()
    return rf" \times {SCALES[word]} " + (opened if opened and not closed else "")


def _from_unicode(text: str) -> str:
    text = _COMPOSED.sub(_decomposed, text.translate(_UNICODE_TABLE))
    return unicodedata.normalize("NFKC", text).translate(_UNICODE_TABLE)


def _decomposed(match: re.Match[str]) -> str:
    """Superscripts, subscripts and fractions that are one character each, as LaTeX."""
    kind = unicodedata.decomposition(match.group()[0]).split(" ")[0]
    inside = unicodedata.normalize("NFKC", match.group()).replace("−", "-")
    if kind == "<fraction>":
        return r"\frac{{{}}}{{{}}}".format(*inside.split("⁄"))
    return f"{'^' if kind == '<super>' else '_'}{{{inside}}}"


def _without_dollars(text: str) -> str:
    """Math delimiters dropped, dollars as money kept as a unit."""
    if "\\(" in text or "\\[" in text:
        text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    if "$" not in text:
        return text
    money = f" {TEXT_OPEN}usd{TEXT_CLOSE} "
    text = text.replace("\\$", money)
    if text.count("$") % 2:
        # An odd one out: "$5" is money, "5$" a stray delimiter unless nothing else is there.
        text = re.sub(r"\$(?=\s*[\d.])", money, text, count=1)
    return text.replace("$", " ")


def _trim(text: str) -> str:
    """Without closing punctuation, a lead-in such as "the answer is", or braces around the whole."""
    while True:
        before = text
        text = text.rstrip(" .,;:\\") if not text.endswith("\\.") else text
        text = _LEAD.sub("", text).strip()
        if len(text) > 2 and text[0] == text[-1] == '"':
            text = text[1:-1]
        if text.startswith("{") and text.endswith("}") and _closes_at(text) == len(text) - 1:
            inside = text[1:-1].strip()
            text = text if "," in inside else inside
        if text.endswith(")") and "(" not in text and len(text) == 2 and text[0].isalpha():
            text = text[0]
        if text == before:
            return text


def _closes_at(text: str) -> int:
    level = 0
    for position, character in enumerate(text):
        if character in "{}" and text[position - 1 : position] != "\\":
            level += 1 if character == "{" else -1
            if level == 0:
                return position
    return -1


def _join_thousands(text: str) -> str:
    """1,000 as 1000: outside brackets, and inside them where a group can be no number of its own."""

    def join(match: re.Match[str]) -> str:
        before = text[: match.start()]
        outside = all(before.count(a) <= before.count(b) for a, b in ("()", "[]", "{}"))
        if outside or any(group.startswith("0") for group in match.group().split(",")[1:]):
            return match.group().replace(",", "")
        return match.group()

    return _COMMA_THOUSANDS.sub(join, text) if "," in text else text
