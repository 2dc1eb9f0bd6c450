"""`coflux workspaces`: list, create, pause, resume, archive. Listing needs no engine."""

from __future__ import annotations

from typing import Literal

import click
import msgspec

from coflux.cli.engine import NothingStored, connect, open_history, requested
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_workspaces, json_option, project_option
from coflux.cli.streams import open_streams
from coflux.display.text import visible
from coflux.executor.document import iso_time
from coflux.executor.requests import ChangeWorkspace, CreateWorkspace, Done
from coflux.executor.rows import WorkspaceRow
from coflux.project import Project

__all__ = ["command"]

_STYLES = {"active": "green", "paused": "yellow", "archived": "dim"}

_name = click.argument("name", metavar="NAME", shell_complete=complete_workspaces)


@click.group()
def command() -> None:
    """Keep runs and cached results apart."""


@command.command("list")
@click.option("--archived", is_flag=True, help="Also those that are archived.")
@json_option
@project_option
def list_workspaces(project: Project, archived: bool, as_json: bool) -> None:
    """List workspaces."""
    streams = open_streams()
    rows: list[WorkspaceRow] = []
    try:
        with open_history(project) as history:
            rows = [row for row in history.workspaces() if archived or row.state != "archived"]
    except NothingStored as error:
        if not as_json:
            streams.err.line(str(error))
    if as_json:
        listed = [_object(row) for row in rows]
        streams.out.json(msgspec.json.encode({"version": VERSION, "workspaces": listed}))
    else:
        painter = Painter(streams.out_terminal.color)
        width = max([len(row.name) for row in rows], default=0)
        for row in rows:
            base = f"  based on {row.base}" if row.base is not None else ""
            state = painter.paint(f"{row.state:<8}", _STYLES[row.state])
            streams.out.line(f"{row.name:<{width}}  {state}{base}".rstrip())
    streams.finish()


def _object(row: WorkspaceRow) -> dict[str, object]:
    return {"name": row.name, "base": row.base, "state": row.state, "created_at": iso_time(row.created_at)}


@command.command("create")
@click.argument("name", metavar="NAME")
@click.option("--base", metavar="NAME", shell_complete=complete_workspaces, help="The one whose results it sees, too.")
@project_option
def create(project: Project, name: str, base: str | None) -> None:
    """Create a workspace, or take up one that was archived."""
    with connect(project, "command") as client:
        click.echo(visible(requested(client, CreateWorkspace(client.next_request(), name, base), Done).message))


@command.command("pause")
@_name
@project_option
def pause(project: Project, name: str) -> None:
    """Start nothing there until it is resumed. What runs goes on."""
    _change(project, name, "pause")


@command.command("resume")
@_name
@project_option
def resume(project: Project, name: str) -> None:
    """Let start again what is queued there."""
    _change(project, name, "resume")


@command.command("archive")
@_name
@project_option
def archive(project: Project, name: str) -> None:
    """Cancel what is unfinished there, and take no more. What it holds can still be read."""
    _change(project, name, "archive")


def _change(project: Project, name: str, change: Literal["pause", "resume", "archive"]) -> None:
    with connect(project, "command") as client:
        click.echo(visible(requested(client, ChangeWorkspace(client.next_request(), name, change), Done).message))
