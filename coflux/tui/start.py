"""From a command to the dashboard on the screen, and back to a clean terminal."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable

from coflux.project import Project
from coflux.tui.app import Dashboard
from coflux.tui.link import Link

__all__ = ["show"]


def show(project: Project, modules: Iterable[str], files: Iterable[str], *, unicode: bool) -> int:
    """Show the dashboard until it is left, with `unicode` marks or in ASCII. Returns the exit status."""
    project.prepare()
    _be_quick_to_answer()
    modules, files = tuple(modules), tuple(files)
    link = Link(project, modules, files)
    app = Dashboard(link, title=_title(project, modules, files), unicode=unicode)
    link.start()
    try:
        app.run()
    finally:
        link.close()
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
