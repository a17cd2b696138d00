"""Gates: what a run watches of itself, and what it does where a figure passes its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from data.section import Probability, Section

Action = Literal["off", "warn", "stop", "best_solver"]


class Gate(Section):
    """One figure that is watched."""

    threshold: Probability = Field(description="Where it trips: a share, or a difference of shares.")
    action: Action = Field(
        default="warn",
        description="'off'; 'warn': a line in the log; 'stop': the run ends there, and goes on once the gate "
        "lets it; 'best_solver': the next iteration begins with the Solver of the highest pass@1 so far.",
    )

    @field_validator("action", mode="before")
    @classmethod
    def _bare_off(cls, given: Any) -> Any:
        """YAML takes a bare `off` for false."""
        return "off" if given is False else given


class GatesConfig(Section):
    """The figures that are watched, each by a gate of its own."""

    valid_share: Gate = Field(
        default=Gate(threshold=0.5), description="Trips where fewer of the candidates are well formed."
    )
    unique_share: Gate = Field(
        default=Gate(threshold=0.5),
        description="Trips where fewer of the well-formed candidates are different.",
    )
    kept_share: Gate = Field(
        default=Gate(threshold=0.05), description="Trips where the filter keeps fewer of the candidates."
    )
    label_accuracy: Gate = Field(
        default=Gate(threshold=0.5),
        description="Trips where fewer of the kept pseudo-labels are right, as far as that can be computed, "
        "else as the judge says.",
    )
    truncated_share: Gate = Field(
        default=Gate(threshold=0.5),
        description="Trips where more of the Solver's answers are cut at their limit.",
    )
    accuracy_drop: Gate = Field(
        default=Gate(threshold=0.05),
        description="Trips where pass@1 is further below the best of all earlier iterations and the base.",
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, given: Any) -> Any:
        """A gate that is given in part keeps the rest of its default."""
        if not isinstance(given, Mapping):
            return given
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return {
            name: defaults[name].model_dump() | value
            if name in defaults and isinstance(value, Mapping)
            else value
            for name, value in given.items()
        }

    def by_name(self) -> dict[str, Gate]:
        """Each gate by its name, in their order."""
        return {name: getattr(self, name) for name in type(self).model_fields}
