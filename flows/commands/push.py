"""`rzero push`."""

from __future__ import annotations

import click

from flows.commands.options import iteration_option, license_option, name_argument, open_run, store_option


@click.command()
@name_argument
@iteration_option
@click.option(
    "--to", "name", required=True, metavar="ORG/NAME", help="The model's name; its data get NAME-curriculum."
)
@click.option("--model", type=click.Choice(["challenger", "solver"]), default="solver", show_default=True)
@click.option("--public", is_flag=True, help="For everybody to see.  [default: private]")
@license_option
@store_option
def push(
    run_name: str, iteration: int, name: str, model: str, public: bool, license: str | None, store: str | None
) -> None:
    """Upload a model and its curriculum to a hub."""
    from data.resolve import ConfigError
    from flows.hub.folders import export_folder
    from flows.live.show import tell
    from infra.hub import Hub, Upload
    from infra.scratch import ScratchFolder

    place, config = open_run(store, run_name)
    if not 1 <= iteration <= config.iterations:
        raise ConfigError(f"--iteration: {run_name!r} has made models in iterations 1 to {config.iterations}")
    names = (name, f"{name}-curriculum")
    hub = Hub.logged_in(names)
    with ScratchFolder("push") as scratch:
        uploads = []
        for what, kind, called in ((model, "model", names[0]), ("curriculum", "dataset", names[1])):
            export_folder(place, config, iteration, what, scratch / kind, license, names)
            uploads.append(Upload(called, kind, scratch / kind))
        message = f"{model.capitalize()} of iteration {iteration} of {run_name}, by rzero"
        for line in hub.upload(uploads, message, public):
            tell(line)
