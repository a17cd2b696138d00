r"""Reading what operators join: numbers, symbols, brackets, fractions, functions, matrices."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction

from tasks.voting.reading.cursor import Cursor, Node
from tasks.voting.reading.lexicon import CONSTANTS, DECORATIONS, FUNCTION_ALIASES, FUNCTIONS, GREEK, is_word
from tasks.voting.reading.tokens import HardError, SyntaxFault, Token, repeating

_CLOSERS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "{": ("}",), "\\langle": ("\\rangle",)}


class Primaries(Cursor, ABC):
    """The operands of the grammar; `grammar.Parser` adds what joins them."""

    @abstractmethod
    def items(self) -> tuple[list[Node], str]:
        """Items of a list, and what joins them."""

    @abstractmethod
    def relation(self) -> Node:
        """Sides of an equation or inequality."""

    @abstractmethod
    def sum(self) -> Node:
        """A sum of terms."""

    @abstractmethod
    def argument(self) -> Node:
        """What follows ^ or a command."""

    @abstractmethod
    def short_argument(self) -> Node:
        r"""What follows \frac: a group or one digit."""

    @abstractmethod
    def suffixes(self, node: Node) -> Node:
        """A primary with what is written behind it."""

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
        name = FUNCTION_ALIASES.get(text, text)
        following = self.peek(1)
        if name in FUNCTIONS and following is not None and following.text in ("(", "^", "{", "_", "|"):
            self.at += 1
            return self._function(name)
        self.at += 1
        if name in CONSTANTS:
            return ("const", CONSTANTS[name])
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
                symbol = self.suffixes(symbol)
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
        symbol, bar = self.peek(), self.peek(1)
        if opening == "\\{" and symbol is not None and bar is not None and bar.text in "|:":
            if symbol.kind != "letters" or len(symbol.text) != 1:
                raise HardError("a set of expressions under a condition")
            self.at += 2
            condition = self.relation()
            self.expect("\\}")
            self.bars = bars
            return ("builder", symbol.text, condition)
        items = self.items()[0]
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
        if name in DECORATIONS:
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
        if kind is None or kind.text not in (
            "pmatrix",
            "bmatrix",
            "matrix",
            "Bmatrix",
            "array",
            "smallmatrix",
        ):
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
        node = self.suffixes(self.primary())
        while (token := self.peek()) is not None:
            # sin 2x is sin(2x), but sin x cos x and sin x (y + 1) are products.
            symbol = token.kind == "letters" and token.text not in FUNCTIONS and not is_word(token.text)
            command = token.kind == "command" and token.text[1:] in GREEK | {"pi", "frac", "sqrt"}
            if not (symbol or command):
                break
            node = ("mul", node, self.suffixes(self.primary()))
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
