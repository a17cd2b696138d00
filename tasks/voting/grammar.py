r"""Reading plain LaTeX mathematics into a small tree. It knows the grammar, not the meaning.

A node is a tuple whose first item is its tag:
("num", Fraction), ("sym", name), ("const", name), ("add", a, b), ("mul", a, b), ("div", a, b),
("neg", a), ("pm", sign, a, b), ("pow", a, b), ("call", name, args...), ("degrees", a),
("seq", open, close, items...), ("matrix", rows), ("rel", operators, sides), ("sets", operator, a, b),
("list", joiner, items...), ("ratio", items...).
`HardError` means that the text is mathematics this grammar leaves to a computer algebra system,
`SyntaxFault` that it is no mathematics at all.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from tasks.voting.normalise import DEGREE
from tasks.voting.tokens import (
    ALIASES,
    FUNCTIONS,
    PLAIN_CONSTANTS,
    HardError,
    SyntaxFault,
    Token,
    is_word,
    repeating,
)

Node = tuple[Any, ...]

GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho varrho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell".split()
)
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\in": "in", "\\approx": "=",
}  # fmt: skip
_DECORATIONS = frozenset("vec hat bar overline tilde widehat overrightarrow underline dot angle triangle".split())
_CLOSERS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "{": ("}",), "\\langle": ("\\rangle",)}
_JOINERS = {"and": "and", "or": "or"}
_STARTERS = frozenset(
    "{ frac sqrt pi infty binom lfloor lceil langle emptyset mathbb begin choose arcsec operatorname "
    "sum prod int lim oint iint det partial nabla".split()
)


class Parser:
    """Recursive descent over tokens; the depth of brackets is bounded by the caller."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.bars = 0

    def answer(self) -> Node:
        """The whole text: one item or a list of items."""
        items, joiner = self.items()
        if self.at < len(self.tokens):
            raise SyntaxFault(f"{self.tokens[self.at].text!r} has no place")
        return items[0] if len(items) == 1 else ("list", joiner, *items)

    def items(self) -> tuple[list[Node], str]:
        """Items between commas, semicolons, "and" or "or"; the last joiner that is a word, else ","."""
        items, joiner = [self.relation()], ","
        while (found := self._joiner()) is not None:
            joiner = found if found != "," else joiner
            while (again := self._joiner()) is not None:
                joiner = again if again != "," else joiner
            items.append(self.relation())
        return items, joiner

    def _joiner(self) -> str | None:
        token = self.peek()
        if token is None:
            return None
        word = token.text.strip().lower()
        if token.kind == "mark" and token.text in ",;":
            self.at += 1
            return ","
        if token.kind in ("text", "letters") and word in _JOINERS:
            self.at += 1
            return word
        if token.kind == "command" and token.text in ("\\land", "\\wedge", "\\lor", "\\vee"):
            self.at += 1
            return "and" if token.text in ("\\land", "\\wedge") else "or"
        return None

    def peek(self, ahead: int = 0) -> Token | None:
        """The token to be read next, or the one `ahead` of it."""
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def accept(self, *texts: str) -> str | None:
        """Read the next token if it is a mark or command spelt as one of `texts`."""
        token = self.peek()
        if token is not None and token.kind in ("mark", "command") and token.text in texts:
            self.at += 1
            return token.text
        return None

    def expect(self, *texts: str) -> str:
        """Read one of `texts` or fail."""
        found = self.accept(*texts)
        if found is None:
            raise SyntaxFault(f"expected {' or '.join(texts)}")
        return found

    def relation(self) -> Node:
        """Sides joined by =, <, and so on."""
        sides, operators = [self.sets()], []
        while (found := self.accept(*_RELATIONS)) is not None:
            operators.append(_RELATIONS[found])
            sides.append(self.sets())
        return ("rel", tuple(operators), tuple(sides)) if operators else sides[0]

    def sets(self) -> Node:
        """Unions, intersections and differences of sets."""
        node = self.sum()
        while (found := self.accept("\\cup", "\\cap", "\\setminus")) is not None:
            node = ("sets", found[1:], node, self.sum())
        token = self.peek()
        if token is not None and token.kind == "letters" and token.text == "U" and node[0] == "seq":
            self.at += 1
            node = ("sets", "cup", node, self.sets())
        return node

    def sum(self) -> Node:
        """Terms joined by plus, minus and plus-minus."""
        if (sign := self.accept("\\pm", "\\mp")) is not None:
            node: Node = ("pm", 1 if sign == "\\pm" else -1, ("num", Fraction(0)), self.term())
        else:
            node = self.term()
        while (found := self.accept("+", "-", "\\pm", "\\mp")) is not None:
            right = self.term()
            if found in ("+", "-"):
                node = ("add", node, right if found == "+" else ("neg", right))
            else:
                node = ("pm", 1 if found == "\\pm" else -1, node, right)
        return node

    def term(self) -> Node:
        """Factors joined by multiplication and division, written or implied; a:b:c is a ratio."""
        node = self.factor()
        ratio = [node]
        while True:
            if self.accept("*", "\\cdot", "\\times"):
                node = ("mul", node, self.factor())
            elif self.accept("/", "\\div"):
                node = ("div", node, self.factor())
            elif self.accept(":"):
                ratio[-1] = node
                node = self.factor()
                ratio.append(node)
            elif self._starts_factor():
                if node[0] == "num" and self.tokens[self.at].kind in ("number", "science", "repeat"):
                    raise SyntaxFault("two numbers in a row")
                node = ("mul", node, self.power())
            else:
                break
        ratio[-1] = node
        return node if len(ratio) == 1 else ("ratio", *ratio)

    def factor(self) -> Node:
        """A power with its signs."""
        negative = False
        while (sign := self.accept("-", "+")) is not None:
            negative ^= sign == "-"
        node = self.power()
        return ("neg", node) if negative else node

    def power(self) -> Node:
        """A primary with exponents, factorials, percent and degree signs."""
        return self._suffixes(self.primary())

    def _suffixes(self, node: Node) -> Node:
        while True:
            if self.accept("^"):
                node = ("pow", node, self.argument())
            elif self.accept("!"):
                marks = 1
                while self.accept("!"):
                    marks += 1
                if marks > 2:
                    raise HardError("a tower of factorials")
                node = ("call", "factorial" if marks == 1 else "factorial2", node)
            elif self.accept("%"):
                node = ("div", node, ("num", Fraction(100)))
            elif self.accept(DEGREE):
                node = ("degrees", node)
            else:
                return node

    def argument(self) -> Node:
        """What follows ^ or a command: a group, or one token (a lone digit of a longer number too)."""
        if self.accept("{"):
            node = self.sets()
            self.expect("}")
            return node
        if (sign := self.accept("-", "+")) is not None:
            node = self.argument()
            return ("neg", node) if sign == "-" else node
        return self.primary()

    def short_argument(self) -> Node:
        r"""The argument of \frac or \sqrt, where a bare number gives its first digit only."""
        token = self.peek()
        if token is not None and token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.tokens[self.at] = Token("number", token.text[1:], False)
            return ("num", Fraction(token.text[0]))
        return self.argument()

    def _starts_factor(self) -> bool:
        token = self.peek()
        if token is None:
            return False
        if token.kind in ("number", "science", "repeat"):
            return True
        if token.kind == "letters":
            # "U" between intervals is a union written by hand.
            return token.text.lower() not in _JOINERS
        if token.kind == "mark":
            return token.text in "([{" or (token.text == "|" and self.bars == 0)
        if token.kind == "command":
            name = token.text[1:]
            return name in _STARTERS or name in GREEK or name in FUNCTIONS or name in _DECORATIONS
        return False

    def primary(self) -> Node:
        """A number, symbol, group, fraction, root, function ..."""
        token = self.peek()
        if token is None:
            raise SyntaxFault("something is missing at the end")
        if token.kind in ("number", "science", "repeat"):
            self.at += 1
            return self._number(token)
        if token.kind == "letters" or (token.kind == "text" and len(token.text.strip()) == 1):
            return self._letters(token)
        if token.kind == "mark" and token.text in "([{":
            self.at += 1
            return self._group(token.text)
        if self.accept("|"):
            self.bars += 1
            node = self.sum()
            self.expect("|")
            self.bars -= 1
            return ("call", "abs", node)
        if token.kind == "command":
            self.at += 1
            return self._command(token.text[1:])
        raise SyntaxFault(f"{token.text!r} has no place")

    def _number(self, token: Token) -> Node:
        if token.kind == "repeat":
            return ("num", repeating(token.text))
        value = Fraction(token.text.rstrip(".") if token.kind == "number" else token.text)
        if self.accept("_"):
            return ("num", Fraction(in_base(token.text, self._base())))
        mixed = self._mixed(token) if token.text.isdigit() else None
        return ("num", value if mixed is None else value + mixed)

    def _base(self) -> int:
        node = self.argument()
        if node[0] != "num" or node[1].denominator != 1:
            raise SyntaxFault("the base of a numeral must be a number")
        return int(node[1])

    def _mixed(self, whole: Token) -> Fraction | None:
        r"""The proper fraction of a mixed number, 1 1/2 or 1\frac{1}{2}, where one follows."""
        shapes = (("\\frac", "{", None, "}", "{", None, "}"), ("\\frac", None, None), (None, "/", None))
        for shape in shapes:
            found: list[str] = []
            for offset, wanted in enumerate(shape):
                token = self.peek(offset)
                if token is None or (wanted is None) != (token.kind == "number"):
                    break
                if wanted is None:
                    found.append(token.text)
                elif token.text != wanted:
                    break
            else:
                if shape[0] is None and not self.tokens[self.at].spaced:
                    return None
                if len(shape) == 3 and shape[0] is not None:
                    return None
                if not all(part.isdigit() for part in found) or not 0 < int(found[0]) < int(found[1]):
                    return None
                self.at += len(shape)
                return Fraction(int(found[0]), int(found[1]))
        token, pair = self.peek(), self.peek(1)
        if (
            token is not None and token.text == "\\frac" and pair is not None
            and re.fullmatch(r"[1-9]{2}", pair.text) and pair.text[0] < pair.text[1]
        ):  # fmt: skip
            self.at += 2
            return Fraction(int(pair.text[0]), int(pair.text[1]))
        return None

    def _letters(self, token: Token) -> Node:
        """A product of one-letter symbols, a function's or constant's plain name, or a fault for words."""
        text = token.text.strip()
        name = ALIASES.get(text, text)
        following = self.peek(1)
        if name in FUNCTIONS and following is not None and following.text in ("(", "^", "{", "_", "|"):
            self.at += 1
            return self._function(name)
        self.at += 1
        if name in PLAIN_CONSTANTS:
            return ("const", PLAIN_CONSTANTS[name])
        if len(text) > 3 and text[-3:] in FUNCTIONS and following is not None and following.text == "(":
            # "xsin(x)": letters run into a function's name.
            self.at -= 1
            self.tokens[self.at : self.at + 1] = [
                Token("letters", text[:-3], token.spaced), Token("letters", text[-3:], False)
            ]  # fmt: skip
            return self._letters(self.tokens[self.at])
        if is_word(text):
            raise SyntaxFault(f"{text!r} is a word")
        node: Node | None = None
        for position, letter in enumerate(text):
            symbol = self._symbol(letter) if position == len(text) - 1 else _plain_symbol(letter)
            if position == len(text) - 1:
                symbol = self._suffixes(symbol)
            node = symbol if node is None else ("mul", node, symbol)
        assert node is not None
        return node

    def _symbol(self, name: str) -> Node:
        """A symbol with its index and primes."""
        start = self.at
        if self.accept("_"):
            if self.accept("{"):
                level = 1
                while level:
                    token = self.peek()
                    if token is None:
                        raise SyntaxFault("an index does not end")
                    self.at += 1
                    level += (token.text == "{") - (token.text == "}")
            elif self.peek() is not None:
                self.at += 1
            name += "_" + "".join(t.text for t in self.tokens[start + 1 : self.at] if t.text not in "{}")
        while self.accept("'"):
            name += "'"
        return _plain_symbol(name)

    def _group(self, opening: str) -> Node:
        """What a bracket holds: one expression, or a point, interval, set or list of several."""
        if self.accept(*_CLOSERS[opening]):
            return ("seq", "\\{", "\\}") if opening in ("\\{", "{") else ("seq", opening, ")")
        bars, self.bars = self.bars, 0
        items = self.items()[0]
        if opening == "\\{" and (self.accept("|") or self.accept(":")):
            raise HardError("a set described by a condition")
        closing = self.expect(*_CLOSERS[opening])
        self.bars = bars
        if len(items) == 1 and opening in ("(", "[", "{") and items[0][0] != "rel":
            if opening == "(" and closing == ")" and (base := self._group_base()) is not None:
                return ("num", Fraction(in_base(str(items[0][1]), base)))
            return items[0]
        if opening == "{":
            opening, closing = "\\{", "\\}"
        elif opening == "\\langle":
            opening, closing = "(", ")"
        return ("seq", opening, closing, *items)

    def _group_base(self) -> int | None:
        """The base of (101)_2."""
        before = self.tokens[self.at - 2] if self.at >= 2 else None
        token = self.peek()
        if token is None or token.text != "_" or before is None or before.kind != "number":
            return None
        self.at += 1
        return self._base()

    def _command(self, name: str) -> Node:
        if name == "{":
            return self._group("\\{")
        if name in ("langle",):
            return self._group("\\langle")
        if name == "frac":
            return ("div", self.short_argument(), self.short_argument())
        if name == "sqrt":
            if self.accept("["):
                degree = self.sum()
                self.expect("]")
                return ("pow", self.short_argument(), ("div", ("num", Fraction(1)), degree))
            return ("call", "sqrt", self.argument())
        if name == "binom":
            return ("call", "binomial", self.short_argument(), self.short_argument())
        if name in ("pi", "infty"):
            return ("const", "inf" if name == "infty" else "pi")
        if name == "emptyset":
            return ("seq", "\\{", "\\}")
        if name == "mathbb":
            return self._blackboard()
        if name in ("lfloor", "lceil"):
            node = self.sum()
            self.expect("\\rfloor" if name == "lfloor" else "\\rceil")
            return ("call", "floor" if name == "lfloor" else "ceil", node)
        if name in FUNCTIONS:
            return self._function(name)
        if name in GREEK:
            return self._symbol("\\" + name)
        if name in _DECORATIONS:
            return self._decorated(name)
        if name == "begin":
            return self._matrix()
        raise HardError(f"\\{name} is left to the algebra system")

    def _blackboard(self) -> Node:
        self.expect("{")
        token = self.peek()
        self.at += 1
        self.expect("}")
        if token is not None and token.text == "R":
            infinity: Node = ("const", "inf")
            return ("seq", "(", ")", ("neg", infinity), infinity)
        return ("sym", f"set {token.text if token else ''}")

    def _decorated(self, name: str) -> Node:
        braced = self.accept("{") is not None
        letters = self.peek()
        if letters is None or letters.kind not in ("letters", "command"):
            raise HardError(f"\\{name} of an expression")
        self.at += 1
        if braced:
            self.expect("}")
        return self._symbol(f"{name} {letters.text}")

    def _matrix(self) -> Node:
        self.expect("{")
        kind = self.peek()
        self.at += 1
        self.expect("}")
        if kind is None or kind.text not in ("pmatrix", "bmatrix", "matrix", "Bmatrix", "array", "smallmatrix"):
            raise HardError("an environment")
        if kind.text == "array" and self.accept("{"):
            while self.accept("}") is None:
                if self.peek() is None:
                    raise SyntaxFault("an array's columns do not end")
                self.at += 1
        rows: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while True:
            if self.accept("\\end"):
                break
            row.append(self.sum())
            if self.accept("&"):
                continue
            rows.append(tuple(row))
            row = []
            if self.accept("\\\\") is None:
                self.expect("\\end")
                break
        self.expect("{")
        self.at += 1
        self.expect("}")
        return ("matrix", tuple(rows))

    def _function(self, name: str) -> Node:
        power: Node | None = None
        base: Node | None = None
        while True:
            if power is None and self.accept("^"):
                power = self.argument()
            elif base is None and name in ("log",) and self.accept("_"):
                base = self.short_argument()
            else:
                break
        arguments = self._function_arguments()
        if power == ("neg", ("num", Fraction(1))) and f"arc{name}" in FUNCTIONS:
            return ("call", f"arc{name}", *arguments)
        if base is not None:
            arguments.append(base)
        node: Node = ("call", name, *arguments)
        return node if power is None else ("pow", node, power)

    def _function_arguments(self) -> list[Node]:
        if self.accept("("):
            bars, self.bars = self.bars, 0
            items = self.items()[0]
            self.expect(")")
            self.bars = bars
            return items
        if self.accept("\\{"):
            items = self.items()[0]
            self.expect("\\}")
            return items
        negative = self.accept("-") is not None
        node = self._suffixes(self.primary())
        while (token := self.peek()) is not None:
            # sin 2x is sin(2x), but sin x cos x and sin x (y + 1) are products.
            symbol = token.kind == "letters" and token.text not in FUNCTIONS and not is_word(token.text)
            command = token.kind == "command" and token.text[1:] in GREEK | {"pi", "frac", "sqrt"}
            if not (symbol or command):
                break
            node = ("mul", node, self._suffixes(self.primary()))
        return [("neg", node) if negative else node]


def _plain_symbol(name: str) -> Node:
    if name == "e":
        return ("const", "e")
    if name == "i":
        return ("const", "i")
    return ("sym", name)


def in_base(digits: str, base: int) -> int:
    """The value of a numeral such as 101 in base 2; SyntaxFault where a digit is too large for it."""
    if not 2 <= base <= 36:
        raise SyntaxFault(f"no numeral has base {base}")
    try:
        return int(digits, base)
    except ValueError as fault:
        raise SyntaxFault(f"{digits} is no numeral of base {base}") from fault


