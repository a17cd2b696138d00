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
_VULGAR = {c: unicodedata.normalize("NFKC", c).split("⁄") for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒"}
_GREEK_NAMES = (  # In the order of the letters below.
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi "
    "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega"
)
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩ",
        _GREEK_NAMES.split(),
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
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_COMMANDS = {
    name: replacement
    for names, replacement in (
        (
            "left right bigl bigr Bigl Bigr biggl biggr Biggl Biggr big Big bigg Bigg displaystyle textstyle",
            " ",
        ),
        ("limits nolimits mathstrut strut middle underline nonumber", " "),
        ("quad qquad thinspace enspace space", " "),
        ("dfrac tfrac cfrac", r"\frac"),
        ("dbinom tbinom", r"\binom"),
        ("leq leqslant leqq", r"\le"),
        ("geq geqslant geqq", r"\ge"),
        ("neq", r"\ne"),
        ("lt", "<"),
        ("gt", ">"),
        ("varnothing", r"\emptyset"),
        ("lvert rvert vert mid lVert rVert", "|"),
        ("lbrace", r"\{"),
        ("rbrace", r"\}"),
        ("lparen", "("),
        ("rparen", ")"),
        ("lbrack", "["),
        ("rbrack", "]"),
        ("dots cdots dotsc dotso", r"\ldots"),
        ("ast star bullet", "*"),
        ("backslash smallsetminus", r"\setminus"),
        ("degree textdegree", DEGREE),
    )
    for name in names.split()
}
_SPACE = re.compile(r"(?<!\\)\\[,:; >]|\\hspace\s*\{[^{}]*\}|~|\s+")
_NOTHING = re.compile(r"\\!|\\(?:hfill|phantom\s*\{[^{}]*\})(?![A-Za-z])|[\u200b-\u200f\u2060\ufeff]")
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
        ("\\#", r"\\#", "#"),
        ("\\_", r"\\_", "_"),
        ("\\&", r"\\&", "&"),
        ("p", rf"(?<=[\d}})])\s*{TEXT_OPEN}?\s*(?:percent|per cent|pct)\b\.?\s*{TEXT_CLOSE}?", "%"),
        ("U", r"(?<=[\])])\s*U\s*(?=[\[(])", r"\\cup "),
        ("C", r"(?:\{\})?[\^_]\s*\{?(\d+)\}?\s*C\s*_\s*\{?(\d+)\}?", r"\\binom{\1}{\2}"),
        ("C", r"(?<![A-Za-z\\])C\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", r"\\binom{\1}{\2}"),
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
    if "\\" in text or "{" in text:
        text = text.replace("{,}", ",").replace("\\\\", " \\\\ ")
        text = _BOLD.sub(r" \1 ", text)
        text = _TEXT.sub(rf" {TEXT_OPEN}\1{TEXT_CLOSE} ", text)
        text = _COMMAND.sub(lambda m: _COMMANDS.get(m.group(1), m.group()), text)
    for mark, pattern, replacement in _SYNONYMS:
        if mark in text:
            text = pattern.sub(replacement, text)
    text = _SPACE.sub(" ", text).strip()
    text = _trim(text)
    text = _SPACED_THOUSANDS.sub(lambda m: m.group().replace(" ", ""), text)
    return _join_thousands(text)


def _from_unicode(text: str) -> str:
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = re.sub("[" + "".join(_VULGAR) + "]", _vulgar, text)
    return unicodedata.normalize("NFKC", text.translate(_UNICODE_TABLE)).translate(_UNICODE_TABLE)


def _vulgar(match: re.Match[str]) -> str:
    top, bottom = _VULGAR[match.group()]
    return rf"\frac{{{top}}}{{{bottom}}}"


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
