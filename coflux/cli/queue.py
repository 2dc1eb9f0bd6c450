"""`coflux queue`: what is queued, and what each waits for. From the store; no engine is needed."""

from __future__ import annotations

import time

import click
import msgspec

from coflux.cli.engine import NothingStored, check_workspace, open_history
from coflux.cli.interrupted import advice
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_workspaces, json_option, project_option
from coflux.cli.streams import open_streams
from coflux.display.reasons import reason_text
from coflux.display.text import duration, visible
from coflux.executor.decisions import Queued
from coflux.executor.document import iso_time
from coflux.executor.launch import engine_runs
from coflux.executor.rows import parse_execution_id
from coflux.project import Project

__all__ = ["command", "queue_lines", "queued_object"]


@click.command()
@click.option("--workspace", metavar="NAME", shell_complete=complete_workspaces, help="Only what is queued there.")
@json_option
@project_option
def command(project: Project, workspace: str | None, as_json: bool) -> None:
    """Show what is queued, the oldest first, and why each does not run yet."""
    streams = open_streams()
    engine = engine_runs(project)
    entries: list[Queued] = []
    try:
        with open_history(project) as history:
            check_workspace(history, workspace)
            entries = history.queue(workspace)
    except NothingStored:
        pass  # then nothing can be queued, either
    if as_json:
        listed = [queued_object(entry) for entry in entries]
        streams.out.json(msgspec.json.encode({"version": VERSION, "queue": listed}))
    else:
        for line in queue_lines(entries, time.time(), Painter(streams.out_terminal.color)):
            streams.out.line(line)
        if not entries:
            streams.err.line("nothing is queued" + (f" in workspace {workspace}" if workspace is not None else ""))
        elif not engine:
            runs = dict.fromkeys(parse_execution_id(entry.id)[0] for entry in entries)
            streams.err.line(advice(list(runs)))
    streams.finish()


def queue_lines(entries: list[Queued], now: float, painter: Painter) -> list[str]:
    """A line for each: its id, its target, for how long it has been queued, and what it waits for."""
    ages = [duration(now - entry.created_at) for entry in entries]
    names = [visible(entry.target) for entry in entries]
    widths = [max(map(len, column), default=0) for column in ([entry.id for entry in entries], names, ages)]
    return [
        f"{entry.id:<{widths[0]}}  {name:<{widths[1]}}  {painter.paint(f'{age:>{widths[2]}}', 'dim')}  "
        f"{visible(reason_text(entry.reason, entry.due_at, now))}"
        for entry, name, age in zip(entries, names, ages, strict=True)
    ]


def queued_object(entry: Queued) -> dict[str, object]:
    times = {"created_at": iso_time(entry.created_at), "due_at": iso_time(entry.due_at)}
    return {**msgspec.to_builtins(entry), **times}
