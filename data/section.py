"""What every part of the configuration has in common: frozen, every field described, nothing unknown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]

NEVER: dict[str, Any] = {"in_key": []}
"""Marks a field that says where or how fast something is computed, not what: it is in no artifact's key."""


def in_key_of(*backends: str) -> dict[str, Any]:
    """Marks a field that only these backends read: it is in the key where one of them is chosen."""
    return {"in_key": list(backends)}


class Section(BaseModel):
    """A frozen part of the configuration; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def key_values(self) -> dict[str, Any]:
        """What of it decides results, as JSON values: all but the marked fields."""
        return self.model_dump(mode="json", exclude=self.outside_key())

    def outside_key(self) -> set[str]:
        """Names of the fields that do not decide results."""
        backend = getattr(self, "backend", None)
        outside = set()
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            readers = extra.get("in_key") if isinstance(extra, dict) else None
            if isinstance(readers, list) and backend not in readers:
                outside.add(name)
        return outside
