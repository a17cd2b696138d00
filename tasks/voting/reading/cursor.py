r"""A cursor over tokens, and the tree that the grammar makes of them.

A node is a tuple whose first item is its tag:
("num", Fraction), ("sym", name), ("const", name), ("add", a, b), ("mul", a, b), ("div", a, b),
("neg", a), ("pm", sign, a, b), ("pow", a, b), ("call", name, args...), ("apply", name, args...),
("degrees", a), ("ratio", items...), ("seq", open, close, items...), ("list", joiner, items...),
("word", words...), ("matrix", rows), ("cases", rows), ("rel", operators, sides), ("sets", operator, a, b),
("builder", name, condition), ("mod", a, modulus);
for the algebra system: ("sum" | "prod", name, low, high, body), ("int", name, body),
("int", name, body, low, high), ("lim", name, target, side, body).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tasks.voting.reading.tokens import SyntaxFault, Token

Node = tuple[Any, ...]


def nodes(tree: Any) -> Iterator[Node]:
    """All nodes of a tree, in no particular order."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple) and item:
            if isinstance(item[0], str):
                yield item
            stack.extend(item)


def has(tree: Any, *tags: str) -> bool:
    """Whether one of the tags occurs in a tree."""
    return any(node[0] in tags for node in nodes(tree))


def symbols(tree: Any) -> set[str]:
    """Names of the symbols in a tree."""
    return {node[1] for node in nodes(tree) if node[0] == "sym"}


def packed(tree: Any) -> Any:
    """A tree as JSON."""
    if isinstance(tree, Fraction):
        return {"q": str(tree)}
    return [packed(item) for item in tree] if isinstance(tree, tuple) else tree


def unpacked(message: Any) -> Any:
    """The tree of a JSON message."""
    if isinstance(message, dict):
        return Fraction(message["q"])
    return tuple(unpacked(item) for item in message) if isinstance(message, list) else message


END = Token("end", "", False)


class Cursor:
    """A place in a list of tokens; `bars` counts the absolute values that are open there."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token to be read next, or the one `ahead` of it; END where there is none."""
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else END

    def read(self, *kinds: str) -> Token:
        """Read the next token, of one of the kinds, or fail."""
        token = self.peek()
        if token is END or (kinds and token.kind not in kinds):
            raise SyntaxFault(f"{token.text!r} has no place")
        self.at += 1
        return token

    def raw(self) -> list[str]:
        """Read one token, or a group in braces, as it is spelt."""
        if not self.accept("{"):
            return [self.read().text]
        start, level = self.at, 1
        while level:
            text = self.read().text
            level += (text == "{") - (text == "}")
        return [token.text for token in self.tokens[start : self.at - 1]]

    def put_back(self, *tokens: Token) -> None:
        """Read these tokens in the place of the next one."""
        self.tokens[self.at : self.at + 1] = tokens

    def accept(self, *texts: str) -> str | None:
        """Read the next token if it is a mark or command spelt as one of `texts`."""
        token = self.peek()
        if token.kind in ("mark", "command") and token.text in texts:
            self.at += 1
            return token.text
        return None

    def expect(self, *texts: str) -> str:
        """Read one of `texts` or fail."""
        found = self.accept(*texts)
        if found is None:
            raise SyntaxFault(f"expected {' or '.join(texts)}")
        return found
