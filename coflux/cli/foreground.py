"""Starting something and seeing it through: `coflux run`, `runs rerun` and `runs resume`, once their command line is
understood."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from coflux.cli import exits
from coflux.cli.engine import connect, open_history, requested, show_notices
from coflux.cli.following import Form
from coflux.cli.ndjson import Events
from coflux.cli.progress import Display, Problems, open_display
from coflux.cli.result import describe_end, end_of, end_of_step, newest_attempt, print_result
from coflux.cli.session import EngineLost, Session
from coflux.cli.signals import Signals, hangup_postponed, listening
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import Target
from coflux.display.feed import Event, Feed
from coflux.display.text import duration
from coflux.executor.client import Client
from coflux.executor.history import History
from coflux.executor.messages import RunOptions
from coflux.executor.requests import Rerun, RunStarted, StartRun
from coflux.executor.rows import ExecutionRow, format_execution_id
from coflux.project import Project

__all__ = ["Again", "Request", "rerun", "run", "run_in_dashboard"]


class Request(NamedTuple):
    """What to run. `words` are the command line's, `document` is JSON; the engine binds both to the parameters."""

    target: Target
    words: tuple[str, ...]
    document: bytes | None
    options: RunOptions


class Again(NamedTuple):
    """Which step to execute again, and where: `workspace` is "" for its own."""

    run: str
    step: int
    workspace: str
    resume: bool = False


def run(project: Project, request: Request, form: Form) -> int:
    """Start a run, follow it unless it is detached, and return the exit status."""
    streams = open_streams()
    with connect(project, "foreground") as client, hangup_postponed():
        started = requested(client, _start_of(request, client), RunStarted)
        # From now on there is a run: an interruption cancels it, and its document is printed.
        with listening() as signals, open_history(project) as history:
            followed = _Followed(client, history, streams, form, started.run, 1)
            if form.detach:
                followed.leave(started.run)
                status = exits.SUCCEEDED
            else:
                greeting = _existing(started.run) if started.existing else ""
                feed = Feed(history, started.run)
                status = followed.see_through(signals, feed, [], greeting, project.settings.grace)
    return _flushed(streams, status)


def run_in_dashboard(project: Project, request: Request) -> int:
    """Start a run, show the dashboard on it until that is left, then the result; return the exit status.

    The request is on its way before the dashboard is loaded; one that is refused opens none.
    """
    from coflux.cli.guard import guard_terminal

    streams = open_streams()
    with connect(project, "dashboard") as client:
        started = requested(client, _start_of(request, client), RunStarted)
        show_notices(client, streams)
        if started.existing:
            streams.err.line(_existing(started.run))
        guard_terminal()
        from coflux.tui.start import show

        target = request.target
        modules, files = ((), (target.file,)) if target.file else ((target.module,), ())
        unicode = streams.err_terminal.unicode
        status = show(project, modules, files, run=started.run, client=client, unicode=unicode)
    with open_history(project) as history:
        ended_with = _report(history, streams, started.run)
    return _flushed(streams, status or ended_with)


def _start_of(request: Request, client: Client) -> StartRun:
    target = request.target
    return StartRun(
        client.next_request(),
        target.module,
        target.file,
        target.name,
        request.options,
        request.words,
        request.document,
    )


def _existing(run: str) -> str:
    return f"run {run} has this idempotency key already"


def _report(history: History, streams: Streams, run_id: str) -> int:
    """Say how a run has ended, with its result; return the exit status. One that has not, goes on."""
    row = history.run(run_id)
    if row is None or not row.settled:
        streams.err.line(f"run {run_id} goes on: `coflux attach {run_id}` shows it")
        return exits.SUCCEEDED
    problems = Problems(run_id)
    for event in Feed(history, run_id, entries=False).events():
        problems.take(event)
    for line in problems.lines():
        streams.err.line(line)
    end, outcome = end_of_step(history, run_id)
    took = "" if row.started_at is None or row.finished_at is None else duration(row.finished_at - row.started_at)
    streams.err.line(f"{describe_end(f'run {run_id}', end, outcome)}{f' in {took}' if took else ''}")
    streams.err.push()
    print_result(streams.out, outcome, raw=False)
    return exits.exit_status(end.status)


def rerun(project: Project, again: Again, form: Form) -> int:
    """Execute a step again, follow it unless it is detached, and return the exit status."""
    streams = open_streams()
    with connect(project, "foreground") as client, hangup_postponed(), open_history(project) as history:
        feed = Feed(history, again.run)
        past = [] if form.detach else list(feed.skip())
        message = Rerun(client.next_request(), *again, detach=form.detach)
        requested(client, message, RunStarted)
        with listening() as signals:
            followed = _Followed(client, history, streams, form, again.run, again.step)
            if form.detach:
                followed.leave(followed.execution)
                status = exits.SUCCEEDED
            else:
                status = followed.see_through(signals, feed, past, "", project.settings.grace)
    return _flushed(streams, status)


def _flushed(streams: Streams, status: int) -> int:
    if status == exits.SUCCEEDED:
        streams.finish()
    else:
        streams.flush()
    return status


class _Followed:
    """The attempt that this command has started."""

    def __init__(self, client: Client, history: History, streams: Streams, form: Form, run_id: str, step: int) -> None:
        self._client = client
        self._history = history
        self._streams = streams
        self._form = form
        self._run = run_id
        self._step = step
        self.execution = format_execution_id(run_id, step, newest_attempt(history, run_id, step))

    def leave(self, name: str) -> None:
        """Say what runs now, under that name."""
        show_notices(self._client, self._streams)
        if self._form.as_json:
            self._streams.out.json(self._history.document_json(self._run))
        else:
            self._streams.out.line(name)

    def see_through(self, signals: Signals, feed: Feed, past: list[Event], greeting: str, grace: float) -> int:
        """Show what happens until its end, then the result; `past` is what had happened before."""
        form, streams = self._form, self._streams
        display: Display = (
            Events(streams.out, streams.err) if form.events else open_display(streams.err, streams.err_terminal)
        )
        session = Session(self._client, self._run, feed, display, (streams.out, streams.err), grace)
        if not self._is_root():
            session.follow_execution(self.execution, self._status)
        session.recall(past)
        if greeting:
            display.say(greeting)
        # A result in the middle of a tree that is still drawn on the same terminal would be drawn over.
        at_once = not (form.as_json or form.events or (display.animated and streams.out_terminal.live))

        def on_finished() -> None:
            if at_once:
                self._print_result()

        try:
            with closing(display):
                status = session.follow(signals, on_finished, wait_children=not form.no_wait_children)
        except EngineLost:
            if form.as_json:
                streams.out.json(self._history.document_json(self._run, engine=False))
                streams.flush()
            raise
        if status == exits.HUNG_UP:
            return status  # nobody is there to read, and there is no result yet
        if form.as_json:
            streams.out.json(self._history.document_json(self._run))
        elif isinstance(display, Events):
            display.result(self._history.document_json(self._run))
        elif not at_once:
            self._print_result()
        self._summarise(session)
        return status

    def _is_root(self) -> bool:
        """Whether its end is the run's: it is not in a workspace that the run does not belong to."""
        run, row = self._history.run(self._run), self._history.execution(self.execution)
        return self._step == 1 and run is not None and row is not None and row.workspace == run.workspace

    def _end(self) -> ExecutionRow:
        return end_of(self._history, self.execution)[0]

    def _status(self) -> str:
        """The state in which it has ended, "" while it has not."""
        end = self._end()
        return "" if end.status in ("queued", "running") else end.status

    def _print_result(self) -> None:
        print_result(self._streams.out, end_of(self._history, self.execution)[1], raw=self._form.raw)

    def _summarise(self, session: Session) -> None:
        """Say what did not succeed: other steps first, what was asked for last."""
        for line in session.problems.lines():
            self._streams.err.line(line)
        if session.status != "succeeded":
            named = f"run {self._run}" if self._step == 1 else f"{self._run}:{self._step}"
            self._streams.err.line(describe_end(named, *end_of(self._history, self.execution)))
