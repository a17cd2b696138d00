"""The `rzero` command: a group that imports a command when it is asked for, so `--help` is instant."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from data.foreign import one_line
from flows.text import say
from infra.keys import KeyRefused, clean_environment, without_secrets

_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A fresh Prefect home needs longer than the default of 20 s for its database.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # Spinning OpenMP threads slow other processes on the same cores many times over.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}
COMMANDS = (
    "run",
    "status",
    "results",
    "inspect",
    "experiment",
    "report",
    "export",
    "push",
    "lineage",
    "verify",
    "gc",
    "doctor",
    "plan",
    "calibrate",
)
"""In the order of `rzero --help`; each is the function of its name in flows/commands/<name>.py."""


class _Commands(click.Group):
    """Imports each command on demand; shows an error that a person can mend as one line, exit code 2."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _one_line_errors():
            return super().make_context(*arguments, **more)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"flows.commands.{name}"), name)
        return command

    def invoke(self, context: click.Context) -> Any:
        with _one_line_errors():
            return super().invoke(context)


class _Refusal(click.ClickException):
    """What is wrong, in one line; the exit code is 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        say(f"rzero: {without_secrets(self.message)}", err=True)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path.replace("main", "rzero", 1) if error.ctx else "rzero"
        raise _Refusal(f"{one_line(error.format_message())} ({command} --help)") from None
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        from data.resolve import ConfigError
        from infra.hub import HubError
        from infra.models.check import ModelDirectoryError
        from infra.store.store import StoreError

        if not isinstance(error, (ConfigError, HubError, KeyRefused, ModelDirectoryError, StoreError)):
            raise
        raise _Refusal(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rzero")
def main() -> None:
    """A language model teaches itself to reason, with no data (R-Zero, arXiv 2508.05004)."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    clean_environment()


if __name__ == "__main__":
    main()
