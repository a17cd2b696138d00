r"""Reading plain LaTeX mathematics into a tree: operators, relations and lists."""

from __future__ import annotations

import re
from fractions import Fraction

from tasks.voting.reading.cursor import Node
from tasks.voting.reading.lexicon import CONSTANTS, DECORATIONS, FUNCTIONS, GREEK, JOINERS, STARTERS, is_word
from tasks.voting.reading.normalise import DEGREE
from tasks.voting.reading.primaries import Primaries
from tasks.voting.reading.tokens import NUMERALS, SyntaxFault, Token, folded

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\in": "in", "\\approx": "~",
    "\\equiv": "equiv",
}  # fmt: skip
_PRODUCTS = {
    **dict.fromkeys(("*", "\\cdot", "\\times"), ("mul",)),
    **dict.fromkeys(("/", "\\div"), ("div",)),
    "\\bmod": ("call", "mod"),
}
_SEPARATORS = {
    ",": ",", "\\quad": ",", ";": ";", "\\\\": ";",
    "\\land": "and", "\\wedge": "and", "\\lor": "or", "\\vee": "or",
}  # fmt: skip


def parse(tokens: list[Token]) -> Node:
    """The tree of all the tokens; SyntaxFault where they are no mathematics that this grammar knows."""
    return Parser(tokens).answer()


class Parser(Primaries):
    """Recursive descent over tokens; the depth of brackets is bounded by the caller."""

    def answer(self) -> Node:
        """The whole text: one item or a list of items."""
        items, joiner = self.items()
        if self.at < len(self.tokens):
            raise SyntaxFault(f"{self.tokens[self.at].text!r} has no place")
        return items[0] if len(items) == 1 else ("list", joiner, *items)

    def items(self) -> tuple[list[Node], str]:
        """Items between commas, semicolons, "and" or "or"; the joiner that is a word, else ","."""
        items, joiners = [self.relation()], []
        while found := self._joiner():
            joiners.append(found)
            items.append(self.relation())
        words = set(joiners) & JOINERS
        equations = [item[2][0] for item in items if item[0] == "rel"]
        if len(words) > 1 or (words and joiners[-1] not in words):
            raise SyntaxFault("a list of lists")
        if "," in joiners and (
            (";" in joiners and not equations) or ("or" in words and len({*equations}) > 1)
        ):
            raise SyntaxFault("a list of lists")
        return items, words.pop() if words else ","

    def values(self, closing: tuple[str, ...]) -> tuple[list[Node], str]:
        """Items in brackets, between commas, and the mark that closes them; words may only join a set."""
        bars, self.bars = self.bars, 0
        items, joiner = self.items()
        if joiner != "," and (closing[0] not in ("\\}", "}") or any(item[0] == "rel" for item in items)):
            raise SyntaxFault("words between the items of a bracket")
        self.bars = bars
        return items, self.expect(*closing)

    def _joiner(self) -> str | None:
        """Read what separates two items: a word if there is one in it, else ";" if there is one."""
        found: set[str] = set()
        while True:
            token = self.peek()
            word = token.text.lower()
            if token.kind in ("mark", "command") and token.text in _SEPARATORS:
                found.add(_SEPARATORS[token.text])
            elif token.kind in ("text", "letters") and word in JOINERS:
                found.add(word)
            else:
                break
            self.at += 1
        if {"and", "or"} <= found:
            raise SyntaxFault('"and" beside "or"')
        return max(found, key=[",", ";", "and", "or"].index, default=None)

    def relation(self) -> Node:
        """Sides joined by =, <, and so on; or words."""
        words = self._words()
        if words is not None:
            return words
        sides, operators = [self.sets()], []
        while (found := self.accept(*_RELATIONS)) is not None:
            operators.append(_RELATIONS[found])
            start = self.at
            sides.append(self.sets())
            if len(operators) > 1 and self._blank_product(start - 1):
                raise SyntaxFault('"x = 1 y = 2" is no chain of equations')
        node: Node = ("rel", tuple(operators), tuple(sides)) if operators else sides[0]
        modulus = self._modulus()
        return node if modulus is None else ("mod", node, modulus)

    def _blank_product(self, end: int) -> bool:
        """Whether a blank stands for a product in the side that ends at a relation sign."""
        at = end - 1
        while at > 0 and self.tokens[at].text not in _RELATIONS:
            token, before = self.tokens[at], self.tokens[at - 1]
            if token.spaced and token.kind == "letters" and before.kind in ("letters", *NUMERALS):
                return True
            at -= 1
        return False

    def _modulus(self) -> Node | None:
        r"""The modulus of "(mod 7)", \pmod 7 or \mod 7, where one follows."""
        if self.accept("\\pmod", "\\mod", "\\pod"):
            return self.argument()
        if self._opens_modulus():
            self.at += 2
            modulus = self.sum()
            self.expect(")")
            return modulus
        if self.peek().text.lower() == "mod":
            self.at += 1
            return self.power()
        return None

    def _opens_modulus(self) -> bool:
        return self.peek().text == "(" and self.peek(1).text.lower() in ("\\bmod", "\\mod", "mod")

    def _words(self) -> Node | None:
        """Words up to the next joiner or the end, where there is at least one that is no product."""
        end = self.at
        while end < len(self.tokens) and self.tokens[end].kind in ("letters", "text"):
            if self.tokens[end].text.lower() in JOINERS:
                break
            end += 1
        following = self.peek(end - self.at).text or ","
        run = self.tokens[self.at : end]
        pieces = [piece for token in run for piece in token.text.split()]
        if not any(is_word(piece) for piece in pieces) or not all(
            re.fullmatch("[A-Za-z]+", p) for p in pieces
        ):
            return None
        if _SEPARATORS.get(following) not in (",", ";") and following.lower() not in JOINERS:
            return None
        self.at = end
        return ("word", *map(folded, pieces))

    def sets(self) -> Node:
        """Unions, intersections and differences of sets."""
        node = self.sum()
        while (found := self.accept("\\cup", "\\cap", "\\setminus")) is not None:
            node = ("sets", found[1:], node, self.sum())
        return node

    def sum(self) -> Node:
        """Terms joined by plus, minus and plus-minus."""
        node: Node = ("num", Fraction(0)) if self.peek().text in ("\\pm", "\\mp") else self.term()
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
            if found := self.accept(*_PRODUCTS):
                node = (*_PRODUCTS[found], node, self.factor())
            elif self.accept(":"):
                ratio[-1] = node
                node = self.factor()
                ratio.append(node)
            elif self._starts_factor():
                if self.peek().kind in NUMERALS and (node[0] == "num" or self.peek(1).text not in ("^", "!")):
                    raise SyntaxFault("a number after a factor")
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
                    raise SyntaxFault("a tower of factorials")
                node = ("call", "factorial" if marks == 1 else "factorial2", node)
            elif self.accept("%"):
                node = ("div", node, ("num", Fraction(100)))
            elif self.accept(DEGREE):
                node = ("degrees", node)
            elif node[0] == "pow" and node[1][0] == "sym" and (index := self.index()):
                node = ("pow", ("sym", node[1][1] + index), node[2])
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
        token, after = self.peek(), self.peek(1)
        if token.kind == "number" and after.text == "_":
            self.at += 1  # x^2_i is the square of x_i, and 2_i no numeral.
            return ("num", Fraction(token.text))
        if token.kind == "letters" and len(token.text) > 1:
            # x^ab is x^a b; plain names of functions and constants stay whole.
            if is_word(token.text) or token.text in FUNCTIONS or token.text in CONSTANTS:
                return self.primary()
            first, rest = token.text[0], token.text[1:]
            self.put_back(Token("letters", first, token.spaced), Token("letters", rest, False))
        return self.primary()

    def short_argument(self) -> Node:
        r"""The argument of \frac or \sqrt, where a bare number gives its first digit only."""
        token = self.peek()
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.put_back(Token("number", token.text[1:], False))
            return ("num", Fraction(token.text[0]))
        return self.argument()

    def _starts_factor(self) -> bool:
        token = self.peek()
        if token.kind == "mark":
            opens = token.text in "([{" and not self._opens_modulus()
            return opens or (token.text == "|" and self.bars == 0)
        if token.kind == "command":
            return token.text[1:] in STARTERS | GREEK | FUNCTIONS | DECORATIONS.keys()
        if token.text.lower() in JOINERS | {"mod"}:
            return False
        return token.kind in ("letters", *NUMERALS) or (token.kind == "text" and len(token.text) == 1)
