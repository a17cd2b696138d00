"""`rzero doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from infra.machine.doctor import abilities, examine


def doctor_command(store: str | None, as_json: bool) -> int:
    """Show what this machine can run; 1 where not even the local backends can."""
    checks = examine(store or "./rzero-store")
    can = abilities(checks)
    if as_json:
        click.echo(json.dumps({"can_run": can, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        for check in checks:
            click.echo(f"{'ok     ' if check.ok else 'missing'}  {check.name}: {check.found}")
            if not check.ok:
                click.echo(f"         needed for {check.needed_for}; to mend it: {check.mend}")
        click.echo("")
        for what, works in can.items():
            click.echo(f"{'yes' if works else 'no ':<4} {what}")
    local = can["sampler transformers, trainer local"]
    return 0 if local else 1
