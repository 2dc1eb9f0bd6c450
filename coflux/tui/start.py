"""From a command to the dashboard on the screen, and back to a clean terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable

from coflux.project import Project
from coflux.tui.app import Dashboard
from coflux.tui.link import Link
from coflux.tui.themes import has_colors

__all__ = ["show"]


def show(project: Project, modules: Iterable[str], files: Iterable[str], *, unicode: bool) -> int:
    """Show the dashboard until it is left, with `unicode` marks or in ASCII. Returns the exit status."""
    project.prepare()
    modules, files = tuple(modules), tuple(files)
    link = Link(project, modules, files)
    app = Dashboard(link, title=_title(project, modules, files), unicode=unicode, colors=has_colors(os.environ))
    link.start()
    try:
        app.run()
    finally:
        link.close()
    return app.return_code or 0


def _title(project: Project, modules: tuple[str, ...], files: tuple[str, ...]) -> str:
    named = [*modules, *(os.path.relpath(file, project.root) for file in files)]
    return named[0] if len(named) == 1 else os.path.basename(project.root)
