r"""Writing an answer plainly: unicode, spacing, delimiters and synonyms of LaTeX brought to one form.

What stands inside `\text{}` and its relatives is kept as one mark, TEXT_OPEN + content + TEXT_CLOSE,
because it is words and not a product of variables.
"""

from __future__ import annotations

import re
import unicodedata

TEXT_OPEN, TEXT_CLOSE = "\x01", "\x02"
DEGREE = "\x03"

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_VULGAR = {
    c: unicodedata.normalize("NFKC", c).split("⁄") for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒"
}
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩ",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi "
        "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega".split(),
        strict=True,
    )
)
_UNICODE = {
    **dict.fromkeys("−‐‑‒–—﹣", "-"),
    **dict.fromkeys("×⨯", r"\times "),
    **dict.fromkeys("·⋅∙•", r"\cdot "),
    **dict.fromkeys("÷⁄∕", "/"),
    **dict.fromkeys("∞", r"\infty "),
    **dict.fromkeys("πϖ𝜋", r"\pi "),
    **dict.fromkeys("≤⩽≦", r"\le "),
    **dict.fromkeys("≥⩾≧", r"\ge "),
    **dict.fromkeys("°º˚", DEGREE),
    **dict.fromkeys("‘’′ʹ", "'"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("∅⌀", r"\emptyset "),
    "≠": r"\ne ",
    "≈": r"\approx ",
    "≡": r"\equiv ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∖": r"\setminus ",
    "√": r"\sqrt ",
    "ℝ": r"\mathbb{R}",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "…": r"\ldots ",
    "€": f"{TEXT_OPEN}eur{TEXT_CLOSE}",
    "£": f"{TEXT_OPEN}gbp{TEXT_CLOSE}",
    "¥": f"{TEXT_OPEN}jpy{TEXT_CLOSE}",
    "µ": "u",
    **{letter: rf"\{name} " for letter, name in _GREEK.items()},
}
_UNICODE_TABLE = str.maketrans(_UNICODE)

_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|up|sc)?|mathrm|mathbf|mathsf|mathtt|mathit|mbox|hbox|operatorname\*?|rm|bf)"
    r"\s*\{([^{}]*)\}"
)
_BOLD = re.compile(r"\\(?:mathbf|boldsymbol|mathcal|mathit|bm)\s*\{\s*([A-Za-z])\s*\}")
_DROP = re.compile(
    r"\\(?:left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|Biggl|Biggr|big|Big|bigg|Bigg|displaystyle|textstyle"
    r"|limits|nolimits|mathstrut|strut|middle)(?![A-Za-z])"
)
_SPACE = re.compile(r"(?<!\\)\\[,:; >]|\\(?:quad|qquad|thinspace|enspace|space|hspace\s*\{[^{}]*\})(?![A-Za-z])|~|\s+")
_NOTHING = re.compile(r"\\!|\\(?:hfill|phantom\s*\{[^{}]*\})(?![A-Za-z])|[\u200b-\u200f\u2060\ufeff]")
_SYNONYMS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\\(?:leq|leqslant|leqq)(?![A-Za-z])", r"\\le"),
        (r"\\(?:geq|geqslant|geqq)(?![A-Za-z])", r"\\ge"),
        (r"\\neq(?![A-Za-z])", r"\\ne"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=", r"\\ne "),
        (r"==", "="),
        (r"\\varnothing(?![A-Za-z])", r"\\emptyset"),
        (r"\\(?:lvert|rvert|vert|mid|lVert|rVert)(?![A-Za-z])", "|"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\(?:lparen)(?![A-Za-z])", "("),
        (r"\\(?:rparen)(?![A-Za-z])", ")"),
        (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"),
        (r"\\(?:dots|cdots|dotsc|dotso)(?![A-Za-z])|\.\.\.+", r"\\ldots "),
        (r"\\(?:ast|star|bullet)(?![A-Za-z])", "*"),
        (r"\*\*", "^"),
        (r"\\%", "%"),
        (r"\\(?:backslash|smallsetminus)(?![A-Za-z])", r"\\setminus"),
        (r"\\(?:degree|textdegree)(?![A-Za-z])", DEGREE),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))", DEGREE),
        (r"\\#", "#"),
        (r"\\_", "_"),
        (r"\\&", "&"),
    )
]
_LEAD = re.compile(
    r"^(?:(?:the|my)?\s*(?:final\s+)?answer\s*(?:is|:|=)\s*|(?:option|choice)\s+(?=\(?[A-Z]\)?$)|=\s*|\\approx\s*|\\therefore\s*)",
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
    text = text.replace("{,}", ",").replace("\\\\", " \\\\ ") if "\\" in text or "{" in text else text
    if "\\" in text:
        text = _DROP.sub(" ", text)
        text = _BOLD.sub(r" \1 ", text)
        text = _TEXT.sub(rf" {TEXT_OPEN}\1{TEXT_CLOSE} ", text)
    for pattern, replacement in _SYNONYMS:
        text = pattern.sub(replacement, text)
    text = _SPACE.sub(" ", text).strip()
    text = _trim(text)
    text = _SPACED_THOUSANDS.sub(lambda m: m.group().replace(" ", ""), text)
    return _join_thousands(text)


def _from_unicode(text: str) -> str:
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = re.sub("[" + "".join(_VULGAR) + "]", lambda m: r"\frac{%s}{%s}" % tuple(_VULGAR[m.group()]), text)
    return unicodedata.normalize("NFKC", text.translate(_UNICODE_TABLE)).translate(_UNICODE_TABLE)


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
        text = text.rstrip(" .,;:") if not text.endswith("\\.") else text
        text = _LEAD.sub("", text).strip()
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
