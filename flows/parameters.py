"""The parameters of the deployments, as their schema says them: the form shows it, the server refuses by it.

What breaks the schema is refused before a flow run exists. It is for `begin` to refuse the rest, and the same
where no server has looked at it: these types add nothing to what a call in process takes.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import Field

from data.config import RUN_NAME, RunConfig
from data.resolve import yaml_names

# In Python "$" also matches before a last line break.
_END = r"$(?!\n)"
_NAMED_OUTRIGHT = ("run", "preset")
_SETTINGS = "|".join(name for name in RunConfig.model_fields if name not in _NAMED_OUTRIGHT)
_PRINTABLE = r"(?!.*[\x00-\x1f\x7f])"
_NO_CREDENTIALS = r"(?!.*(?::|%3[Aa]).*(?:@|%40))"
_KINDS = r"[sS]3[aA]?://.+|[fF][iI][lL][eE]://.+|[mM][eE][mM][oO][rR][yY]://.*"


_MOST_OVERLAYS = 2
"""Of one choice in the form: with all of their combinations the list would have hundreds of lines."""


def presets() -> list[str]:
    """The presets, each alone and with one or two overlays, as `preset+overlay`."""
    overlays = yaml_names("data.presets.overlays")
    sets = [some for size in range(_MOST_OVERLAYS + 1) for some in itertools.combinations(overlays, size)]
    return ["+".join((name, *some)) for some in sets for name in yaml_names("data.presets")]


RunName = Annotated[
    str,
    Field(
        json_schema_extra={
            "pattern": rf"^(?!.*\.\.){RUN_NAME.pattern}{_END}",
            "examples": ["first"],
        }
    ),
]
"""1 to 64 letters, digits, '.', '_' or '-'."""
Preset = Annotated[str, Field(json_schema_extra={"enum": presets()})]
"""One of `presets()`."""
Number = Annotated[int, Field(json_schema_extra={"minimum": 1})]
"""A number from 1."""
StoreUri = Annotated[
    str,
    Field(
        json_schema_extra={
            # As infra/store/uri.py: of all that holds a ':' before the first '/', three kinds alone.
            "pattern": rf"^{_PRINTABLE}{_NO_CREDENTIALS}(?:{_KINDS}|[^:]+|[^:/]*/.*){_END}",
            "examples": ["/data/rzero", "s3://bucket/prefix"],
        }
    ),
]
"""A folder, s3://bucket/prefix or memory://name, without credentials."""
Overrides = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={
            "propertyNames": {"pattern": rf"^(?:{_SETTINGS})(?:\.[A-Za-z0-9_-]+)*{_END}"},
            "examples": [{"solver.learning_rate": 2e-6, "questions.count": 2000}],
        }
    ),
]
"""Settings by dotted key."""
NO_OVERRIDES: dict[str, Any] = {}
"""The default. A field that may be null as well has no JSON editor in the form of Prefect's second UI."""
