r"""Reading plain LaTeX mathematics into a tree: operators, relations and lists."""

from __future__ import annotations

from fractions import Fraction

from tasks.voting.reading.cursor import Node
from tasks.voting.reading.lexicon import DECORATIONS, FUNCTIONS, GREEK, JOINERS, STARTERS
from tasks.voting.reading.normalise import DEGREE
from tasks.voting.reading.primaries import Primaries
from tasks.voting.reading.tokens import HardError, SyntaxFault, Token

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\in": "in", "\\approx": "=",
}  # fmt: skip


class Parser(Primaries):
    """Recursive descent over tokens; the depth of brackets is bounded by the caller."""

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
        if token.kind in ("text", "letters") and word in JOINERS:
            self.at += 1
            return word
        if token.kind == "command" and token.text in ("\\land", "\\wedge", "\\lor", "\\vee"):
            self.at += 1
            return "and" if token.text in ("\\land", "\\wedge") else "or"
        return None

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
        return self.suffixes(self.primary())

    def suffixes(self, node: Node) -> Node:
        """A node with its exponents, factorials, percent and degree signs."""
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
            return token.text.lower() not in JOINERS
        if token.kind == "mark":
            return token.text in "([{" or (token.text == "|" and self.bars == 0)
        if token.kind == "command":
            name = token.text[1:]
            return name in STARTERS or name in GREEK or name in FUNCTIONS or name in DECORATIONS
        return False
