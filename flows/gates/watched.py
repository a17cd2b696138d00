"""A run watches itself: its gates are asked before an iteration and after each of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flows.gates.lines import choice_line, figures_of, stop_line, stopping
from flows.gates.verdict import best_iteration, pass_at_1, tripped
from flows.overview import overview
from flows.summary import read_steps
from infra.run_log import run_log
from tasks.stage.errors import GateStopped
from tasks.stage.solvers import ChosenSolver, choose_solver, chosen_solvers
from tasks.stage.task import Run, after_stage


@contextmanager
def watched(run: Run) -> Iterator[None]:
    """Show how the run stands while the block works (`overview`), and ask its gates after each stage.

    Before the block it is settled with which Solver the iteration begins. Raises GateStopped where a gate
    with the action 'stop' has tripped and work of the iteration is left.
    """
    with overview(run.config, run.iteration):
        gates = _Gates(run)
        gates.settle_solver()
        gates.ask()
        show = after_stage.get()

        def show_and_ask() -> None:
            if show is not None:
                show()
            gates.ask()

        token = after_stage.set(show_and_ask)
        try:
            yield
        finally:
            after_stage.reset(token)


class _Gates:
    """The gates of a run, asked of one iteration and of what the one before ended with."""

    def __init__(self, run: Run) -> None:
        self._run, self._config = run, run.config
        self._actions = {gate.action for gate in run.config.gates.by_name().values()}
        self._told: set[str] = set()

    def ask(self) -> None:
        """Warn of each gate that has newly tripped; GateStopped where one stops the run."""
        if self._actions == {"off"}:
            return
        number = self._run.iteration
        steps = read_steps(self._run.store, self._config, number)
        mine = [item for item in steps if item.step.iteration == number]
        is_left = any(item.is_left for item in mine)
        stopped_by = stopping(self._config, steps, number) if is_left else []
        for each in tripped(self._config.gates, figures_of(steps)):
            if each not in stopped_by and each.gate not in self._told:
                run_log().warning(f"{each}{_THEN.get(each.action, '')}")
                self._told.add(each.gate)
        if stopped_by:
            raise GateStopped(stop_line(self._config, stopped_by))

    def settle_solver(self) -> None:
        """Choose an earlier Solver to begin with, if a gate of the iteration before says so.

        A choice that is there holds; an iteration that has begun as usual goes on so.
        """
        store, number = self._run.store, self._run.iteration
        chosen = chosen_solvers(store, self._config.run).get(number)
        if chosen is None and (wanted := self._better_solver()) is not None:
            chosen = choose_solver(store, self._config.run, number, wanted)
        if chosen is not None:
            run_log().warning(choice_line(number, chosen))

    def _better_solver(self) -> ChosenSolver | None:
        """The best Solver so far, if a gate asks for it and it is not the last; and the reason."""
        if "best_solver" not in self._actions:
            return None
        number = self._run.iteration
        steps = read_steps(self._run.store, self._config, number)
        begun = any(not item.is_left for item in steps if item.step.iteration == number)
        before = figures_of(steps)[:number]
        back = [str(each) for each in tripped(self._config.gates, before) if each.action == "best_solver"]
        best = best_iteration(before)
        if begun or not back or best is None:
            return None
        if best == number - 1:
            run_log().warning(f"{'; '.join(back)}; but the last Solver is the best so far, and stays")
            return None
        why = f"{'; '.join(back)}; no pass@1 since is as high as its {pass_at_1(before[best]):.3f}"
        return ChosenSolver(solver_of=best, why=why)


_THEN = {
    "stop": "; the run stops before the next iteration",
    "best_solver": "; the next iteration begins with the best Solver so far",
}
