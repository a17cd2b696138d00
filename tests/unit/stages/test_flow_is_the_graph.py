"""The flow spells the graph of stages as calls, to be read; its source is held against the table."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from flows.iteration import iteration
from flows.start import starting_point
from tasks.stage.graph import STAGES, stage_names

Made = tuple[set[str], bool]
"""Under which names something was made, and whether the iteration before made it."""

BEFORE: list[Made] = [({"challenger"}, True), ({"solver"}, True), ({"score_and_filter"}, True)]
"""What `starting_point` returns, in its order."""


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _calls(source: str) -> list[tuple[str, dict[str, str], list[str]]]:
    """The statements that call by name, in order: whom, with which variables by keyword, into which."""
    calls = []
    for node in sorted(ast.walk(ast.parse(source)), key=lambda node: getattr(node, "lineno", 0)):
        if not isinstance(node, ast.Assign | ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        function, targets = node.value.func, node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(function, ast.Name):
            arguments = {str(each.arg): ast.unparse(each.value) for each in node.value.keywords}
            names = targets.elts if isinstance(targets, ast.Tuple) else [targets] if targets else []
            calls.append((function.id, arguments, [ast.unparse(name) for name in names]))
    return calls


def differences(source: str, iteration: int) -> list[str]:
    """What the source calls otherwise than the graph has it, in an iteration of this number."""
    stages, made = [], dict[str, Made]()
    wrong = []
    for name, arguments, targets in _calls(source):
        if name == "starting_point":
            made |= dict(zip(targets, BEFORE, strict=True))
        if name not in STAGES:
            continue
        stages.append(name)
        stage = STAGES[name]
        if set(arguments) != set(stage.inputs):
            wrong.append(f"{name} is handed {sorted(arguments)}")
        for argument, variable in arguments.items():
            names, before = made.get(variable, (set(), False))
            wanted = stage.inputs.get(argument)
            if wanted and (wanted.made_as not in names or wanted.before != before):
                wrong.append(f"{name} is handed {variable}, made as {sorted(names)}, for its {argument}")
        made |= {target: ({name, *stage.role}, False) for target in targets}
    if tuple(stages) != stage_names(iteration):
        wrong.append(f"the stages are {stages}")
    return wrong


def test_an_iteration_calls_the_stages_of_the_graph_in_order_with_their_inputs() -> None:
    assert differences(_source(iteration.fn), 1) == []


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
    ],
)
def test_a_flow_that_departs_from_the_graph_is_noticed(written: str, instead: str) -> None:
    source = _source(iteration.fn)
    assert written in source
    assert differences(source.replace(written, instead), 1)
