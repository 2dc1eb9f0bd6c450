"""From a command to the dashboard on the screen, and back to a clean terminal."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import closing

from coflux.executor.client import Client
from coflux.project import Project
from coflux.tui.about import About
from coflux.tui.app import RATE, Dashboard
from coflux.tui.link import Link
from coflux.tui.preferences import Preferences
from coflux.tui.themes import has_colors
from coflux.tui.updates import StartAsked

__all__ = ["show"]

RESTORE_TITLE = b"\x1b[23;2t"
SLOW_RATE = 8.0  # pictures a second for a terminal that is on another machine


def show(
    project: Project,
    modules: Iterable[str] = (),
    files: Iterable[str] = (),
    *,
    run: str = "",
    start: bool = True,
    unicode: bool = True,
    mouse: bool = True,
    client: Client | None = None,
    find: Callable[[], tuple[tuple[str, ...], tuple[str, ...]]] | None = None,
    demo: str = "",
) -> int:
    """Show the dashboard until it is left: home, or a run.

    Args:
        modules, files: whose targets can be started.
        run: what is opened at once, "" for nothing.
        start: whether an engine is started where none runs.
        unicode: whether marks are Unicode, or ASCII.
        client: a connection that has started `run` for this dashboard, which takes it over: leaving is about this
            run alone.
        find: finds the modules and files anew, for who asks to look again.
        demo: a workflow of the first file that is started at once, in a project that goes with the dashboard.

    Returns:
        The exit status.
    """
    project.prepare()
    _be_quick_to_answer()
    modules, files = tuple(modules), tuple(files)
    log = os.path.join(project.data_dir, "dashboard.log")
    environment = dict(os.environ)
    link = Link(project, modules, files, start=start, client=client, find=find)
    app = Dashboard(
        link,
        about=About(
            _title(project, modules, files), _short(project.data_dir), project.root, run, client is not None, bool(demo)
        ),
        unicode=unicode,
        colors=has_colors(os.environ),
        preferences=Preferences.of(os.environ),
        log=log,
        rate=SLOW_RATE if "SSH_CONNECTION" in os.environ else RATE,
    )
    # Runs see this environment: not what Textual takes out of it, nor what textual-serve puts in for Textual.
    os.environ.update({name: value for name, value in environment.items() if not name.startswith("TEXTUAL_")})
    for name in [name for name in os.environ if name.startswith("TEXTUAL_")]:
        del os.environ[name]
    link.start()
    if demo:
        link.ask(StartAsked("", files[0], demo, ()))
    with open(log, "a") as stacks, closing(link):
        faulthandler.register(signal.SIGUSR1, stacks)  # what every thread of a dashboard does that hangs
        app.run(mouse=mouse)
        faulthandler.unregister(signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if app.titled:
        os.write(2, RESTORE_TITLE)
    return app.return_code or 0


def _be_quick_to_answer() -> None:
    """What has been read of a big run, the collector would look through again and again, for 50 ms each time; and the
    thread that reads would keep a key waiting for 5 ms, several times until it is answered."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.001)


def _title(project: Project, modules: tuple[str, ...], files: tuple[str, ...]) -> str:
    named = [*modules, *(os.path.relpath(file, project.root) for file in files)]
    return named[0] if len(named) == 1 else os.path.basename(project.root)


def _short(directory: str) -> str:
    """As a shell would show it."""
    home = os.path.expanduser("~")
    return "~" + directory[len(home) :] if directory.startswith(home + os.sep) else directory
