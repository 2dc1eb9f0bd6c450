"""`coflux stop`: let the project's engine end."""

from __future__ import annotations

import click

from coflux.cli.engine import connect, requested
from coflux.cli.options import project_option
from coflux.display.text import visible
from coflux.executor.client import NoEngine
from coflux.executor.requests import Done, Stop
from coflux.project import Project

__all__ = ["command"]


@click.command()
@click.option("--cancel", is_flag=True, help="Cancel what is unfinished first.")
@project_option
def command(project: Project, cancel: bool) -> None:
    """Stop the project's engine, unless something runs. What is queued goes on at the next start."""
    try:
        with connect(project, "command", start=False) as client:
            message = requested(client, Stop(client.next_request(), cancel), Done).message
    except NoEngine:
        message = f"no engine runs for {project.root}"
    click.echo(visible(message))
