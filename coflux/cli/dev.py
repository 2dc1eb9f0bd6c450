"""`coflux dev`: the dashboard, with the targets of some modules or files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from coflux.cli import exits
from coflux.cli.discover import sources_of
from coflux.cli.guard import guard_terminal
from coflux.cli.options import project_option
from coflux.cli.targets import Sources
from coflux.cli.terminal import can_draw, takes_unicode
from coflux.project import Project

__all__ = ["command", "dashboard_options", "has_unicode", "require_terminal"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def dashboard_options(command: _Command) -> _Command:
    """Add the options of every command that opens the dashboard: `ascii_only` and `no_mouse`."""
    add_ascii = click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII only.")
    add_mouse = click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal, for selecting text.")
    return add_ascii(add_mouse(command))


@click.command()
@click.argument("words", metavar="[MODULE|FILE]...", nargs=-1)
@click.option("--demo", is_flag=True, help="Play an example, in a temporary project that is removed at the end.")
@click.option("--web", is_flag=True, help="Serve it to a browser on this machine.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where --web listens.  [default: 8000]")
@dashboard_options
@project_option
def command(
    project: Project, words: tuple[str, ...], demo: bool, web: bool, port: int | None, ascii_only: bool, no_mouse: bool
) -> int:
    """Watch and start runs in an interactive terminal: the targets of modules or files; by default of the configured
    modules, else of every file of the project that imports coflux."""
    if demo and words:
        raise click.UsageError("--demo brings its own targets: name none")
    if web:
        from coflux.cli.web import serve

        given_flags = (("--demo", demo), ("--ascii", ascii_only), ("--no-mouse", no_mouse))
        flags = [flag for flag, given in given_flags if given]
        return serve(project, (*flags, "--", *words), 8000 if port is None else port)
    if port is not None:
        raise click.UsageError("--port is of --web")
    in_browser = "TEXTUAL_DRIVER" in os.environ  # started by textual-serve
    if not in_browser:
        require_terminal("`coflux run TARGET` runs without one, `coflux discover` lists the targets")
    sources = Sources((), ()) if demo else sources_of(project, words)
    if not in_browser:
        guard_terminal()
    from coflux.tui.start import show

    unicode, mouse = has_unicode(ascii_only), not no_mouse
    if demo:
        from coflux.cli.demo import demo_project

        with demo_project() as (shop, file):
            return show(shop, (), (file,), unicode=unicode, mouse=mouse, demo="ingest_orders")
    find = None if words else partial(sources_of, project, ())
    return show(project, *sources, unicode=unicode, mouse=mouse, find=find)


def require_terminal(instead: str) -> None:
    """End the command where there is no terminal to draw on."""
    if not can_draw():
        raise exits.CommandError(f"the dashboard needs a terminal for input and output: {instead}")


def has_unicode(ascii_only: bool = False) -> bool:
    """Whether the dashboard, which is drawn on standard error, is to use Unicode marks."""
    return not ascii_only and takes_unicode(sys.stderr.encoding, os.environ)
