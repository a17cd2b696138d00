"""`python -m infra.deploy up | down | setup`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from infra.deploy.local import CannotStart, LocalServer
from infra.deploy.processes import NotReady

_NEXT = """
Next, in another terminal or this one:
  export PREFECT_API_URL={url}/api PREFECT_API_AUTH_STRING="$(cat {key})"
  {prefect} deployment run rzero/iteration --param run=first --param preset=tiny --watch
The same command again, once that is finished, does the next iteration; it resumes one that failed.
In the browser: {url}, which asks for a password: the line in {key}
Whoever has that line can run any program as you. `make down` ends the server and the worker."""


@click.group()
def main() -> None:
    """What a deployment of rzero needs beside its code."""


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True)
def up(port: int) -> None:
    """Bring up a server on this machine with everything that rzero needs, and a worker."""
    try:
        server = LocalServer(Path.cwd(), port)
        for line in server.up():
            click.echo(line)
    except (CannotStart, NotReady) as error:
        click.echo(f"make up: {error}", err=True)
        sys.exit(2 if isinstance(error, CannotStart) else 1)
    beside = Path(sys.executable).with_name("prefect")
    prefect = _from_here(beside) if beside.exists() else "prefect"
    click.echo(_NEXT.format(url=server.url, prefect=prefect, key=_from_here(server.key_file)))


@main.command()
def down() -> None:
    """End what `up` has brought up; the store and the server's database stay."""
    try:
        for line in LocalServer(Path.cwd(), 0).down():
            click.echo(line)
    except CannotStart as error:
        click.echo(f"make down: {error}", err=True)
        sys.exit(2)


@main.command()
@click.option(
    "--pool-type", type=click.Choice(["process", "kubernetes"]), default="process", show_default=True
)
@click.option("--device-slots", type=click.IntRange(min=1), default=1, show_default=True)
def setup(pool_type: str, device_slots: int) -> None:
    """Create the pool, the limit of the devices and the automation at $PREFECT_API_URL."""
    from infra.deploy.setup import set_up_server

    for line in set_up_server(pool_type, device_slots):
        click.echo(line)


@main.command()
@click.option(
    "--url",
    envvar="RZERO_WEBHOOK_URL",
    prompt="URL of the webhook",
    hide_input=True,
    help="Asked for where it is not in $RZERO_WEBHOOK_URL.",
)
def notify(url: str) -> None:
    """Have the server at $PREFECT_API_URL call a webhook when a run fails, crashes or waits for a person."""
    from infra.deploy.setup import set_up_notifications

    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        click.echo("notify: the URL of a webhook begins with https:// or http://", err=True)
        sys.exit(2)
    for line in set_up_notifications(url):
        click.echo(line)


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
