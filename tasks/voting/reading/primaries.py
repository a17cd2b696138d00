r"""Reading what operators join: numbers, symbols, brackets, fractions, functions, matrices."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction
from functools import reduce
from typing import Any

from tasks.voting.reading.cursor import Cursor, Node
from tasks.voting.reading.lexicon import (
    CONSTANTS,
    DECORATIONS,
    FUNCTION_ALIASES,
    FUNCTIONS,
    GREEK,
    INVERSES,
    UNKNOWN_FUNCTIONS,
    is_word,
)
from tasks.voting.reading.tokens import NUMERALS, SyntaxFault, Token, repeating

_CLOSERS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "{": ("}",), "\\langle": ("\\rangle",)}
_MATRICES = frozenset(("pmatrix", "bmatrix", "matrix", "Bmatrix", "array", "smallmatrix"))
_ALIGNED = frozenset(("aligned", "align", "align*", "gathered"))  # Where & is layout.
_CASES = frozenset(("cases", "dcases")) | _ALIGNED
_CONDITIONS = frozenset(("if", "for", "when", "where"))
_ONE: Node = ("num", Fraction(1))
_EMPTY_SET: Node = ("seq", "\\{", "\\}")
_REALS: Node = ("seq", "(", ")", ("neg", ("const", "inf")), ("const", "inf"))


class Primaries(Cursor, ABC):
    """The operands of the grammar; `grammar.Parser` adds what joins them."""

    @abstractmethod
    def values(self, closing: tuple[str, ...]) -> tuple[list[Node], str]: ...
    @abstractmethod
    def relation(self) -> Node: ...
    @abstractmethod
    def sum(self) -> Node: ...
    @abstractmethod
    def term(self) -> Node: ...
    @abstractmethod
    def argument(self) -> Node: ...
    @abstractmethod
    def short_argument(self) -> Node: ...
    @abstractmethod
    def suffixes(self, node: Node) -> Node: ...

    def primary(self) -> Node:
        """A number, symbol, group, fraction, root, function ..."""
        token = self.peek()
        if token.kind in NUMERALS:
            return self._number(self.read())
        if token.kind == "letters" or (token.kind == "text" and len(token.text) == 1):
            return self._letters(token)
        if token.kind == "mark" and token.text in "([{":
            self.at += 1
            return self._group(token.text)
        if self.accept("|"):
            self.bars += 1
            node = self._enclosed("abs", "|")
            self.bars -= 1
            return node
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
        mixed = self._mixed() if token.text.isdigit() else None
        return ("num", value if mixed is None else value + mixed)

    def _base(self) -> int:
        node = self.argument()
        if node[0] != "num" or node[1].denominator != 1:
            raise SyntaxFault("the base of a numeral must be a number")
        return int(node[1])

    def _mixed(self) -> Fraction | None:
        r"""The proper fraction of a mixed number, 1 1/2 or 1\frac{1}{2}, where one follows."""
        ahead = [self.peek(offset).text for offset in range(7)]
        if ahead[0] == "\\frac" and re.fullmatch(r"[1-9]{2}", ahead[1]):
            parts, length = list(ahead[1]), 2
        elif ahead[0] == "\\frac" and ahead[1:7:3] == ["{", "{"] and ahead[3:7:3] == ["}", "}"]:
            parts, length = ahead[2:6:3], 7
        elif self.peek().spaced and ahead[1] == "/":
            parts, length = ahead[0:3:2], 3
        else:
            return None
        if not all(map(str.isdigit, parts)) or not 0 < int(parts[0]) < int(parts[1]):
            return None
        self.at += length
        return Fraction(int(parts[0]), int(parts[1]))

    def _letters(self, token: Token) -> Node:
        """A product of one-letter symbols, a function's or constant's plain name, or a fault for words."""
        text, after = token.text, self.peek(1).text
        name = FUNCTION_ALIASES.get(text, text)
        if name in FUNCTIONS and after in ("(", "^", "{", "_", "|"):
            self.at += 1
            return self._function(name)
        if text in CONSTANTS:
            self.at += 1
            return ("const", CONSTANTS[text])
        if after == "(" and (glued := re.fullmatch(r"(.+)(sin|cos|tan|log)", text)):  # xsin(x)
            letters, function = glued.groups()
            self.put_back(Token("letters", letters, token.spaced), Token("command", "\\" + function, False))
            return self.primary()
        if text != "cost" and (glued := re.fullmatch(r"(sin|cos|tan|log|ln)([xyt])", text)):  # sinx
            function, letters = glued.groups()
            self.put_back(Token("command", "\\" + function, token.spaced), Token("letters", letters, False))
            return self.primary()
        self.at += 1
        if re.fullmatch(r"d[a-z]/d[a-z]", text + after + self.peek(1).text):
            self.at += 2
            return ("sym", f"{text}/{self.tokens[self.at - 1].text}")
        if len(text) > 1 and text.isupper() and len(text) < 5:
            return self._symbol(text)  # A segment or triangle, AB or ABC.
        if is_word(text):
            raise SyntaxFault(f"{text!r} is a word")
        if text in UNKNOWN_FUNCTIONS and after == "(":
            self.at += 1
            return ("apply", text, *self.values((")",))[0])
        factors = [*map(_plain_symbol, text[:-1]), self.suffixes(self._symbol(text[-1]))]
        return reduce(lambda left, right: ("mul", left, right), factors)

    def _symbol(self, name: str) -> Node:
        """A symbol with its index and primes."""
        name += self.index()
        while self.accept("'"):
            name += "'"
        return _plain_symbol(name)

    def index(self) -> str:
        """The index that follows, as it is spelt, with its underscore; empty where there is none."""
        return "_" + " ".join(self.raw()) if self.accept("_") else ""

    def _group(self, opening: str) -> Node:
        """What a bracket holds: one expression, or a point, interval, set or list of several."""
        if closing := self.accept(*_CLOSERS[opening]):
            return _EMPTY_SET if opening in ("\\{", "{") else ("seq", opening, closing)
        if opening == "\\{" and self.peek(1).text in ("|", ":"):
            name = self._variable()
            self.expect("|", ":")
            bars, self.bars = self.bars, 0
            condition = self.relation()
            self.bars = bars
            self.expect("\\}")
            return ("builder", name, condition)
        items, closing = self.values(_CLOSERS[opening])
        if len(items) == 1 and opening in ("(", "[", "{"):
            if {"(": ")", "[": "]", "{": "}"}[opening] != closing or items[0][0] in ("rel", "word"):
                raise SyntaxFault("brackets that do not match, or hold no value")
            if opening == "(" and (base := self._group_base()) is not None:
                return ("num", Fraction(in_base(str(items[0][1]), base)))
            return items[0]
        if opening == "{":
            opening, closing = "\\{", "\\}"
        elif opening == "\\langle":
            opening, closing = "(", ")"
        return ("seq", opening, closing, *items)

    def _group_base(self) -> int | None:
        """The base of (101)_2."""
        if not self.tokens[self.at - 2].text.isdigit() or not self.accept("_"):
            return None
        return self._base()

    def _command(self, name: str) -> Node:
        if name in ("{", "langle"):
            return self._group("\\" + name)
        if name == "frac":
            return self._derivative() or ("div", self.short_argument(), self.short_argument())
        if name == "sqrt":
            if self.accept("["):
                degree = self.sum()
                self.expect("]")
                return ("pow", self.short_argument(), ("div", _ONE, degree))
            return ("call", "sqrt", self.argument())
        if name == "binom":
            return ("call", "binomial", self.short_argument(), self.short_argument())
        if name in ("pi", "infty"):
            return ("const", CONSTANTS[name])
        if name == "emptyset":
            return _EMPTY_SET
        if name == "mathbb":
            letter = self._braced("letters")
            return _REALS if letter == "R" else self._symbol(f"set {letter}")
        if name in ("lfloor", "lceil"):
            return self._enclosed(name[1:], f"\\r{name[1:]}")
        if name in FUNCTIONS:
            return self._function(name)
        if name in GREEK:
            return self._symbol("\\" + name)
        if name in DECORATIONS:
            return self._symbol(f"{DECORATIONS[name]} {self._braced('letters', 'command')}")
        if name == "begin":
            return self._environment()
        if name in ("sum", "prod", "int", "lim"):
            return self._calculus(name)
        raise SyntaxFault(f"\\{name} is not known")

    def _enclosed(self, name: str, closing: str) -> Node:
        node = self.sum()
        self.expect(closing)
        return ("call", name, node)

    def _derivative(self) -> Node | None:
        r"""The derivative \frac{dy}{dx}, which is a symbol and no quotient."""
        spelt = "".join(token.text for token in self.tokens[self.at : self.at + 6])
        found = re.match(r"\{(d[a-z]?)\}\{(d[a-z])\}", spelt)
        if not found:
            return None
        if len(found.group(1)) == 1:
            raise SyntaxFault("a derivative is no quotient")
        self.at += 6
        return ("sym", f"{found.group(1)}/{found.group(2)}")

    def _braced(self, *kinds: str) -> str:
        """The text of one token, which may stand in braces."""
        braced = self.accept("{")
        text = self.read(*kinds).text
        if braced:
            self.expect("}")
        return text

    def _environment(self) -> Node:
        """A matrix, or rows such as those of a case distinction or a system of equations."""
        kind = "".join(self.raw())
        if kind not in _MATRICES | _CASES:
            raise SyntaxFault("an environment")
        if kind == "array" and self.peek().text == "{" and set("".join(self.raw())) - set("lcr|"):
            raise SyntaxFault("an array without columns")
        if kind in _ALIGNED and not any(token.text == "\\begin" for token in self.tokens[self.at :]):
            self.tokens[self.at :] = [token for token in self.tokens[self.at :] if token.text != "&"]
        rows: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while not self.accept("\\end"):
            row.append(self._cell() if kind in _CASES else self.sum())
            if self.accept("&"):
                continue
            rows.append(tuple(row))
            row = []
            if self.accept("\\\\") is None:
                self.expect("\\end")
                break
        if "".join(self.raw()) != kind:
            raise SyntaxFault("an environment that ends as another one")
        if kind in _MATRICES:
            return ("matrix", tuple(rows))
        if all(len(cells) == 1 and cells[0][0] == "rel" for cells in rows):
            return ("list", "and", *(cells[0] for cells in rows))
        return ("cases", tuple(rows))

    def _cell(self) -> Node:
        """A cell of a case distinction; "if x > 0," says no more than x > 0."""
        self._condition()
        self.accept(",")
        node = self.relation()
        self.accept(",", ";")
        return ("list", "if", node, self.relation()) if self._condition() else node

    def _condition(self) -> bool:
        found = self.peek().text.lower() in _CONDITIONS
        self.at += found
        return found

    def _calculus(self, name: str) -> Node:
        """A sum, product, integral or limit, for the algebra system."""
        if name == "lim":
            self.expect("_")
            self.expect("{")
            variable = self._variable()
            self.expect("\\to", "\\rightarrow")
            target = self.sum()
            side = self.expect("+", "-") if self.accept("^") else ""
            self.expect("}")
            return ("lim", variable, target, side, _bound(self.term(), variable))
        bounds: dict[str, Node] = {}
        variable = ""
        while mark := self.accept("_", "^"):
            if mark in bounds:
                raise SyntaxFault("two bounds on one side")
            if mark == "_" and name != "int":
                self.expect("{")
                variable = self._variable()
                self.expect("=")
                bounds[mark] = self.sum()
                self.expect("}")
            else:
                bounds[mark] = self.argument()
        if len(bounds) != 2 and (bounds or name != "int"):
            raise SyntaxFault(f"a {name} without bounds")
        if name == "int":
            return self._integral([bounds[mark] for mark in "_^" if bounds])
        return (name, variable, bounds["_"], bounds["^"], _bound(self.term(), variable))

    def _variable(self) -> str:
        name = self.read("letters").text
        if len(name) != 1:
            raise SyntaxFault("a bound variable must be a letter")
        return name

    def _integral(self, bounds: list[Node]) -> Node:
        """What is left up to dx, which must be the end of the text."""
        token = self.tokens[-1]
        found = token.kind == "letters" and re.fullmatch(r"([A-Za-z]*)d([a-z])", token.text)
        if not found or self.bars or any(t.text == "\\int" for t in self.tokens[self.at :]):
            raise SyntaxFault("an integral must end with its variable")
        body = self.tokens[self.at : -1]
        if found.group(1):
            body.append(Token("letters", found.group(1), False))
        inner = type(self)(body)
        node = inner.sum()
        if inner.at < len(body):
            raise SyntaxFault("an integrand does not end")
        self.at = len(self.tokens)
        return ("int", found.group(2), node, *bounds)

    def _function(self, name: str) -> Node:
        power: Node | None = None
        base: Node | None = None
        while True:
            if power is None and self.accept("^"):
                power = self.argument()
            elif base is None and name == "log" and self.accept("_"):
                base = self.short_argument()
            else:
                break
        arguments = self._function_arguments()
        if power == ("neg", _ONE):
            if name not in INVERSES:
                raise SyntaxFault(f"the inverse of {name}")
            return ("call", INVERSES[name], *arguments)
        if base is not None:
            arguments.append(base)
        node: Node = ("call", name, *arguments)
        return node if power is None else ("pow", node, power)

    def _function_arguments(self) -> list[Node]:
        closing = ")" if self.accept("(") else "\\}" if self.accept("\\{") else ""
        if closing:
            return self.values((closing,))[0]
        negative = self.accept("-") is not None
        node = self.suffixes(self.primary())
        while True:
            token = self.peek()
            # sin 2x is sin(2x), but sin x cos x and sin x (y + 1) are products.
            symbol = token.kind == "letters" and token.text not in FUNCTIONS and not is_word(token.text)
            command = token.kind == "command" and token.text[1:] in GREEK | {"pi", "frac", "sqrt"}
            if not (symbol or command):
                break
            node = ("mul", node, self.suffixes(self.primary()))
        return [("neg", node) if negative else node]


def _bound(node: Any, name: str) -> Any:
    """A tree in which e or i is the bound variable, if that is its name."""
    if node == ("const", name):
        return ("sym", name)
    return tuple(_bound(item, name) for item in node) if isinstance(node, tuple) else node


def _plain_symbol(name: str) -> Node:
    return ("const", name) if name in ("e", "i") else ("sym", name)


def in_base(digits: str, base: int) -> int:
    """The value of a numeral such as 101 in base 2; SyntaxFault where a digit is too large for it."""
    if not 2 <= base <= 36:
        raise SyntaxFault(f"no numeral has base {base}")
    try:
        return int(digits, base)
    except ValueError as fault:
        raise SyntaxFault(f"{digits} is no numeral of base {base}") from fault
