"""What all parts of the configuration share: they are frozen and refuse unknown fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]

NEVER: dict[str, Any] = {"in_key": False}
T = TypeVar("T")
Unkeyed = Annotated[T, Field(json_schema_extra=NEVER)]
"""A field that says where or how fast something is computed, not what: it enters no artifact's key."""

ADDED: dict[str, Any] = {"in_key": "unless default"}
Added = Annotated[T, Field(json_schema_extra=ADDED)]
"""A field that came after artifacts were made: at its default it enters no key, so that those stay valid."""


class Section(BaseModel):
    """A frozen part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def key_values(self) -> dict[str, Any]:
        """The settings that decide results, as JSON values: no unkeyed one, no added one at its default."""
        unchanged = {
            name
            for name, field in type(self).model_fields.items()
            if field.json_schema_extra == ADDED and getattr(self, name) == field.default
        }
        values = self.model_dump(mode="json", exclude=self.outside_key() | unchanged)
        inner = {name: value.key_values() for name, value in self if isinstance(value, Section)}
        return {name: inner.get(name, value) for name, value in values.items()}

    @classmethod
    def outside_key(cls) -> set[str]:
        """Names of the fields that do not decide results."""
        return {name for name, field in cls.model_fields.items() if field.json_schema_extra == NEVER}


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, from a configuration as JSON; an empty section is a value."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
