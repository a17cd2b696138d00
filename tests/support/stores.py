"""A store in which something happens at the worst moment."""

from __future__ import annotations

from collections.abc import Callable

from infra.store.store import Store


class InterruptedStore(Store):
    """Before the next operation of a name ("put", "create", "names", "move") `before` happens, once."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.before: dict[str, Callable[[], object]] = {}

    def _interrupt(self, operation: str) -> None:
        self.before.pop(operation, lambda: None)()

    def put(self, path: str, content: bytes) -> None:
        self._interrupt("put")
        super().put(path, content)

    def create(self, path: str, content: bytes) -> bool:
        self._interrupt("create")
        return super().create(path, content)

    def names(self, path: str) -> list[str]:
        self._interrupt("names")
        return super().names(path)

    def move(self, source: str, target: str) -> bool:
        self._interrupt("move")
        return super().move(source, target)
