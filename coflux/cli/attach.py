"""`coflux attach`: the dashboard on an engine that runs."""

from __future__ import annotations

import os
import sys

import click

from coflux.cli import exits
from coflux.cli.dev import require_terminal
from coflux.cli.discover import sources_of
from coflux.cli.engine import connect
from coflux.cli.options import project_option
from coflux.cli.terminal import takes_unicode
from coflux.executor.client import NoEngine
from coflux.project import Project

__all__ = ["command"]


@click.command()
@project_option
def command(project: Project) -> int:
    """Open the dashboard on the project's running engine."""
    require_terminal("`coflux runs list` shows the runs, `coflux logs -f RUN` follows one")
    try:
        with connect(project, "command", start=False):
            pass
    except NoEngine as error:
        raise exits.CommandError(f"{error}: `coflux dev` starts one", exits.FAILED) from None
    from coflux.tui.start import show

    return show(project, *sources_of(project, ()), unicode=takes_unicode(sys.stderr.encoding, os.environ))
