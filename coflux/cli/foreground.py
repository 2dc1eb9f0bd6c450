"""Starting a run and seeing it through: what `coflux run` does once its command line is understood."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from coflux.cli import exits
from coflux.cli.engine import connect, open_history, requested, show_notices
from coflux.cli.feed import Feed
from coflux.cli.ndjson import Events
from coflux.cli.progress import Display, open_display
from coflux.cli.result import describe_end, end_of, print_result
from coflux.cli.session import EngineLost, Session
from coflux.cli.signals import hangup_postponed, listening
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import Target
from coflux.executor.client import Client
from coflux.executor.history import History
from coflux.executor.messages import RunOptions
from coflux.executor.requests import RunStarted, StartRun
from coflux.project import Project

__all__ = ["Form", "Request", "start"]


class Request(NamedTuple):
    """What to run. `words` are the command line's, `document` is JSON; the engine binds both to the parameters."""

    target: Target
    words: tuple[str, ...]
    document: bytes | None
    options: RunOptions


class Form(NamedTuple):
    """What goes to standard output, and when the command returns."""

    as_json: bool
    events: bool
    raw: bool
    wait_children: bool


def start(project: Project, request: Request, form: Form) -> int:
    """Start the run, follow it unless it is detached, and return the exit status."""
    streams = open_streams()
    with connect(project, "foreground") as client, hangup_postponed():
        started = requested(
            client,
            StartRun(
                client.next_request(),
                request.target.module,
                request.target.file,
                request.target.name,
                request.options,
                request.words,
                request.document,
            ),
            RunStarted,
        )
        with open_history(project) as history:
            if request.options.detach:
                show_notices(client, streams)
                _print_detached(streams, history, started.run, form)
                status = exits.SUCCEEDED
            else:
                status = _follow(client, history, project, started, form, streams)
    if status == exits.SUCCEEDED:
        streams.finish()
    else:
        streams.flush()
    return status


def _print_detached(streams: Streams, history: History, run: str, form: Form) -> None:
    if form.as_json:
        streams.out.json(history.document_json(run))
    else:
        streams.out.line(run)


def _follow(
    client: Client, history: History, project: Project, started: RunStarted, form: Form, streams: Streams
) -> int:
    display: Display = (
        Events(streams.out, streams.err) if form.events else open_display(streams.err, streams.err_terminal)
    )
    if started.existing:
        display.say(f"run {started.run} has this idempotency key already")
    session = Session(
        client, started.run, Feed(history, started.run), display, (streams.out, streams.err), project.settings.grace
    )
    root = f"{started.run}:1:1"
    # A result in the middle of a tree that is still drawn on the same terminal would be drawn over.
    at_once = not (form.as_json or form.events or (display.animated and streams.out_terminal.live))

    def print_root_result() -> None:
        print_result(streams.out, end_of(history, root)[1], raw=form.raw)

    def on_finished() -> None:
        if at_once:
            print_root_result()

    try:
        with closing(display), listening() as signals:
            status = session.follow(signals, on_finished, wait_children=form.wait_children)
    except EngineLost:
        if form.as_json:
            streams.out.json(history.document_json(started.run, engine=False))
            streams.flush()
        raise
    if status == exits.HUNG_UP:
        return status  # nobody is there to read, and there is no result yet
    if form.as_json:
        streams.out.json(history.document_json(started.run))
    elif isinstance(display, Events):
        display.result(history.document_json(started.run))
    elif not at_once:
        print_root_result()
    _summarise(session, history, started.run, streams)
    return status


def _summarise(session: Session, history: History, run: str, streams: Streams) -> None:
    """Say what did not succeed: other steps first, the run itself last."""
    for line in session.problems.lines():
        streams.err.line(line)
    if session.status != "succeeded":
        streams.err.line(describe_end(run, *end_of(history, f"{run}:1:1")))
