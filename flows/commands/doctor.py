"""`rzero doctor`."""

from __future__ import annotations

import sys

import click

from flows.commands.options import json_option, store_option
from flows.text import say


@click.command()
@store_option
@click.option("--gpus", is_flag=True, help="Also check what GPUs need of the host where none is found.")
@json_option
def doctor(store: str | None, gpus: bool, as_json: bool) -> None:
    """Tell what this machine can run, and how to mend the rest.

    The exit code is 1 if not even the local backends work.
    """
    from dataclasses import asdict

    from flows.live.show import show_json, tell
    from infra.machine.doctor import abilities, examine

    checks = examine(store or "./rzero-store", gpus)
    can = abilities(checks)
    if as_json:
        show_json({"can_run": can, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            tell(f"{'ok     ' if check.ok else 'missing'}  {check.name}: {check.found}", indent=9)
            if not check.ok:
                tell(f"         needed for {check.needed_for}; to mend it: {check.mend}", indent=9)
        say("")
        for what, works in can.items():
            tell(f"{'yes' if works else 'no ':<4} {what}", indent=5)
    sys.exit(0 if can["sampler transformers, trainer local"] else 1)
