"""`coflux dev`: the dashboard, with the targets of some modules or files."""

from __future__ import annotations

import os
import sys

import click

from coflux.cli import exits
from coflux.cli.discover import sources_of
from coflux.cli.options import project_option
from coflux.cli.terminal import is_interactive, takes_unicode
from coflux.project import Project

__all__ = ["command", "require_terminal"]


@click.command()
@click.argument("words", metavar="[MODULE|FILE]...", nargs=-1)
@project_option
def command(project: Project, words: tuple[str, ...]) -> int:
    """Watch and start runs in an interactive terminal: the targets of modules or files; by default of the configured
    modules, else of every file of the project that imports coflux."""
    require_terminal("`coflux run TARGET` runs without one, `coflux discover` lists the targets")
    sources = sources_of(project, words)
    from coflux.tui.start import show

    return show(project, *sources, unicode=takes_unicode(sys.stderr.encoding, os.environ))


def require_terminal(instead: str) -> None:
    """End the command where there is no terminal to draw on."""
    if not is_interactive():
        raise exits.CommandError(f"the dashboard needs a terminal for input and output: {instead}")
