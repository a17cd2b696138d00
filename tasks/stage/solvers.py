"""With which Solver an iteration begins, where a gate chose another than the last: a record in the store.

`<store>/runs/<run>/solvers/iteration=<k>.json` is written once, before iteration k begins, and then holds
whatever the gates become: what was made from the chosen Solver stays reachable.
"""

from __future__ import annotations

import re

from pydantic import Field

from data.foreign import read_json
from data.resolve import validated
from data.section import Section
from infra.store.store import Store, StoreError

_NAME = re.compile(r"iteration=([1-9][0-9]{0,8})\.json")


class ChosenSolver(Section):
    """The choice for one iteration, and its reason in words."""

    solver_of: int = Field(ge=0, description="The iteration whose Solver it is; 0: the base model.")
    why: str = Field(description="The gate that tripped, with its figure.")


def choose_solver(store: Store, run: str, iteration: int, chosen: ChosenSolver) -> ChosenSolver:
    """Record the choice for an iteration; returns the one that holds, which another may have made before."""
    path = f"{_folder(run)}/iteration={iteration}.json"
    if store.create(path, chosen.model_dump_json(indent=1).encode()):
        return chosen
    return _read(store, path, iteration)


def chosen_solvers(store: Store, run: str) -> dict[int, ChosenSolver]:
    """The choices of a run by the iteration that begins with them; StoreError where one cannot be read."""
    names = {name: _NAME.fullmatch(name) for name in store.names(_folder(run))}
    numbers = sorted((int(match[1]), name) for name, match in names.items() if match)
    return {number: _read(store, f"{_folder(run)}/{name}", number) for number, name in numbers}


def _folder(run: str) -> str:
    return f"runs/{run}/solvers"


def _read(store: Store, path: str, iteration: int) -> ChosenSolver:
    try:
        chosen = validated(ChosenSolver, read_json(store.read(path)))
    except ValueError as error:
        fault = str(error).partition("\n")[0]
        raise StoreError(f"{store.uri_of(path)} does not say which Solver was chosen: {fault}") from None
    if chosen.solver_of >= iteration:
        raise StoreError(f"{store.uri_of(path)} names the Solver of an iteration that comes no earlier")
    return chosen
