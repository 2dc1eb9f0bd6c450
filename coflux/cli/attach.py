"""`coflux attach`: the dashboard on an engine that runs."""

from __future__ import annotations

from functools import partial

import click

from coflux.cli import exits
from coflux.cli.dev import dashboard_options, has_unicode, require_terminal
from coflux.cli.discover import sources_of
from coflux.cli.engine import connect, open_history, resolve_id
from coflux.cli.guard import guard_terminal
from coflux.cli.options import project_option
from coflux.executor.client import NoEngine
from coflux.project import Project

__all__ = ["command"]


@click.command()
@click.argument("run", metavar="[RUN]", default="")
@dashboard_options
@project_option
def command(project: Project, run: str, ascii_only: bool, no_mouse: bool) -> int:
    """Open the dashboard on the project's running engine, at a run if one is given. It starts no engine."""
    require_terminal("`coflux runs list` shows the runs, `coflux logs -f RUN` follows one")
    try:
        with connect(project, "command", start=False):
            pass
    except NoEngine as error:
        raise exits.CommandError(f"{error}: `coflux dev` starts one", exits.FAILED) from None
    if run:
        with open_history(project) as history:
            run = resolve_id(history, run).run
    sources = sources_of(project, ())
    guard_terminal()
    from coflux.tui.start import show

    find = partial(sources_of, project, ())
    unicode, mouse = has_unicode(ascii_only), not no_mouse
    return show(project, *sources, run=run, start=False, unicode=unicode, mouse=mouse, find=find)
