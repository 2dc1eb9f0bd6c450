"""`coflux cache`: forget results that the cache would use."""

from __future__ import annotations

import click

from coflux.cli.engine import connect, open_history, requested
from coflux.cli.exits import CommandError
from coflux.cli.options import complete_targets, project_option, workspace_option
from coflux.cli.targets import parse_target
from coflux.display.text import visible
from coflux.executor.requests import ClearCache, Done
from coflux.project import Project, module_of_file

__all__ = ["command"]


@click.group()
def command() -> None:
    """Forget cached results."""


@command.command("clear")
@click.argument("target", metavar="[TARGET]", required=False, shell_complete=complete_targets)
@click.option("--all", "everything", is_flag=True, help="Forget the results of all targets.")
@workspace_option("Whose results to forget.")
@project_option
def clear(project: Project, target: str | None, everything: bool, workspace: str) -> None:
    """Have the results of TARGET, or of all targets, not used again. They stay with the runs that they are of.

    TARGET is module/name, or path/to/file.py/name.
    """
    if (target is None) is not everything:
        raise click.UsageError("name a target, or say --all")
    name = "" if target is None else _name(target)
    with open_history(project):
        pass  # where nothing is stored, no engine has to be started to find that out
    with connect(project, "command") as client:
        message = ClearCache(client.next_request(), workspace, name)
        click.echo(visible(requested(client, message, Done).message))


def _name(text: str) -> str:
    """The target as it is recorded: `module/name`."""
    target = parse_target(text)
    if not target.name:
        raise CommandError(f"{text!r} names no target: write {text}/NAME")
    module = module_of_file(target.file)[0] if target.file else target.module
    return f"{module}/{target.name}"
