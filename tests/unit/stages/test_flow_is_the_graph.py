"""The flow spells the graph of stages as calls, to be read; its source is held against the table."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from data.resolve import resolve
from flows.iteration import iteration
from flows.start import starting_point
from tasks.stage.graph import STAGES, stage_names

Made = tuple[set[str], bool]
"""Under which names something was made, and whether the iteration before made it."""

BEFORE: dict[str, list[Made]] = {
    "two": [({"challenger"}, True), ({"solver"}, True), ({"score_and_filter"}, True)],
    "one": [({"solver"}, True), ({"solver"}, True), ({"score_and_filter"}, True)],
}
"""What `starting_point` returns, in its order, by how many models play the roles."""


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _calls(source: str, roles: str) -> list[tuple[str, dict[str, str], list[str]]]:
    """The statements that call by name, in order: whom, with which variables by keyword, into which.

    A choice by the number of roles is a call of "=" with the variable that is chosen.
    """
    calls = []
    for node in sorted(ast.walk(ast.parse(source)), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            assert ast.unparse(node.value.test) == "config.roles == 'one'"
            chosen = node.value.body if roles == "one" else node.value.orelse
            calls.append(("=", {"": ast.unparse(chosen)}, [ast.unparse(node.targets[0])]))
        if not isinstance(node, ast.Assign | ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        function, targets = node.value.func, node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(function, ast.Name):
            arguments = {str(each.arg): ast.unparse(each.value) for each in node.value.keywords}
            names = targets.elts if isinstance(targets, ast.Tuple) else [targets] if targets else []
            calls.append((function.id, arguments, [ast.unparse(name) for name in names]))
    return calls


def differences(source: str, iteration: int, roles: str = "two") -> list[str]:
    """What the source calls otherwise than the graph has it, in an iteration of this number."""
    stages, made = [], dict[str, Made]()
    wrong = []
    config = resolve("a", overrides={"roles": roles})
    for name, arguments, targets in _calls(source, roles):
        if name == "starting_point":
            made |= dict(zip(targets, BEFORE[roles], strict=True))
        if name == "=":
            made[targets[0]] = made[arguments[""]]
        if name not in STAGES:
            continue
        stages.append(name)
        stage = STAGES[name]
        if set(arguments) != set(stage.inputs):
            wrong.append(f"{name} is handed {sorted(arguments)}")
        for argument, variable in arguments.items():
            names, before = made.get(variable, (set(), False))
            wanted = {**stage.inputs, **stage.inputs_in(config, 2)}.get(argument)
            if wanted and (wanted.made_as not in names or wanted.before != before):
                wrong.append(f"{name} is handed {variable}, made as {sorted(names)}, for its {argument}")
        made |= {target: ({name, *stage.role}, False) for target in targets}
    if tuple(stages) != stage_names(iteration):
        wrong.append(f"the stages are {stages}")
    return wrong


@pytest.mark.parametrize("roles", ["two", "one"])
def test_an_iteration_calls_the_stages_of_the_graph_in_order_with_their_inputs(roles: str) -> None:
    assert differences(_source(iteration.fn), 1, roles) == []


def test_the_base_model_is_prepared_and_measured_as_the_graph_has_it() -> None:
    assert differences(_source(starting_point), 0) == []


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("answers = sample_answers(this, questions=questions, solver=solver)", ""),
        ("questions=questions, solver=solver", "questions=questions, solver=challenger"),
        ("answers=answers, earlier=earlier", "answers=answers"),
        ("solver = train_solver", "trained = train_solver"),
        ("challenger = train_challenger", "trained = train_challenger"),
        ("solver = challenger if", "solver = solver if"),
        ("else solver", "else challenger"),
    ],
)
def test_a_flow_that_departs_from_the_graph_is_noticed(written: str, instead: str) -> None:
    source = _source(iteration.fn)
    assert written in source
    changed = source.replace(written, instead)
    assert differences(changed, 1, "two") + differences(changed, 1, "one")
