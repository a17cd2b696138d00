r"""A cursor over tokens, and the tree that the grammar makes of them.

A node is a tuple whose first item is its tag:
("num", Fraction), ("sym", name), ("const", name), ("add", a, b), ("mul", a, b), ("div", a, b),
("neg", a), ("pm", sign, a, b), ("pow", a, b), ("call", name, args...), ("degrees", a),
("seq", open, close, items...), ("matrix", rows), ("rel", operators, sides), ("sets", operator, a, b),
("list", joiner, items...), ("ratio", items...).
`HardError` means that the text is mathematics this grammar leaves to a computer algebra system,
`SyntaxFault` that it is no mathematics at all.
"""

from __future__ import annotations

from typing import Any

from tasks.voting.reading.tokens import SyntaxFault, Token

Node = tuple[Any, ...]


class Cursor:
    """A place in a list of tokens; `bars` counts the absolute values that are open there."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.bars = 0

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
