"""`coflux why`: the decisions on a step. From the store; no engine is needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from coflux.cli import exits
from coflux.cli.engine import open_history, resolve_id
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_runs, json_option, project_option
from coflux.cli.streams import open_streams
from coflux.display.text import visible
from coflux.display.why import decisions, memo_text, switch_text
from coflux.executor.decisions import Why
from coflux.executor.document import iso_time
from coflux.executor.rows import parse_execution_id
from coflux.project import Project

__all__ = ["command", "why_lines", "why_object"]


@click.command()
@click.argument("identifier", metavar="RUN:STEP[:ATTEMPT]", shell_complete=complete_runs)
@json_option
@project_option
def command(project: Project, identifier: str, as_json: bool) -> None:
    """Show why a step was executed, or was not: what its cache, memo, defer and retry options led to.

    RUN alone stands for the run's root.
    """
    streams = open_streams()
    with open_history(project) as history:
        found = resolve_id(history, identifier)
        step = found.step or 1
        why = history.why(found.run, step)
    if why is None:
        raise exits.CommandError(f"there is no step {found.run}:{step}", exits.NOT_FOUND)
    if found.attempt is not None:
        chosen = [one for one in why.attempts if parse_execution_id(one.id)[2] == found.attempt]
        why = msgspec.structs.replace(why, attempts=tuple(chosen))
    if as_json:
        streams.out.json(msgspec.json.encode({"version": VERSION, **why_object(why)}))
    else:
        for line in why_lines(why, time.time(), Painter(streams.out_terminal.color)):
            streams.out.line(line)
    streams.finish()


def why_object(why: Why) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(why)
    for attempt in fields["attempts"]:
        attempt["due_at"] = iso_time(attempt["due_at"])
    return fields


def why_lines(why: Why, now: float, painter: Painter) -> Iterator[str]:
    """The step, its options, and each attempt with what led to it and what became of it."""
    yield f"step {why.id} {visible(why.target)}" + (f", submitted by {why.parent}" if why.parent else "")
    yield f"memo   {memo_text(why.memo)}"
    yield f"cache  {switch_text(why.cache)}"
    yield f"defer  {switch_text(why.defer)}"
    for attempt in why.attempts:
        number = parse_execution_id(attempt.id)[2]
        yield f"attempt {number}  {painter.state(attempt.status)}"
        for text in decisions(attempt, now):
            yield f"  {visible(text)}"
