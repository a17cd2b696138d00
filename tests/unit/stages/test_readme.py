"""The README's table of stages says what the graph says."""

from pathlib import Path

from tasks.stage.graph import STAGES, Input, Stage

README = (Path(__file__).parents[3] / "README.md").read_text()


def _source(source: Input) -> str:
    when = "" if source.when is None else ", if remembered"
    return f"`{source.made_as}`" + (f" (t-1{when})" if source.before else "")


def _row(stage: Stage) -> str:
    numbers = "" if stage.of_iterations else " (iteration 0)"
    made_from = ", ".join(map(_source, stage.inputs.values())) or "nothing"
    makes = "model" if stage.kind == "model" else f"`{stage.kind}`"
    tables = ", ".join(f"`{table}`" for table in stage.tables)
    return " | ".join((f"| `{stage.name}`{numbers}", made_from, makes, tables)).rstrip() + " |"


def test_each_stage_stands_there_with_what_it_is_made_from_and_what_it_makes() -> None:
    _, header, table = README.partition("| stage | made from | makes | side tables |\n|---|---|---|---|\n")
    assert header
    assert table.partition("\n\n")[0].splitlines() == [_row(stage) for stage in STAGES.values()]
