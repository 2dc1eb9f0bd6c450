"""`coflux logs`: what a run wrote and logged, from the store; `--follow` also as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime

import click
import msgspec

from coflux.cli.engine import connect, open_history, resolve_id
from coflux.cli.lines import Painter, log_lines
from coflux.cli.ndjson import VERSION, log_object
from coflux.cli.options import complete_runs, project_option
from coflux.cli.result import describe_end, end_of_step
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import RunId
from coflux.cli.terminal import Output
from coflux.durations import parse_duration
from coflux.executor.client import Client
from coflux.executor.history import History, LogEntry
from coflux.executor.log_search import Field, LogFilter, parse_field
from coflux.executor.requests import Dropped, RunSettled, Subscribe
from coflux.logs import Level
from coflux.project import Project

__all__ = ["command"]


def _moment(ctx: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """A time in seconds since the epoch, from a duration before now or an ISO 8601 time (local, unless it says so)."""
    if text is None:
        return None
    with suppress(ValueError, OverflowError):
        return time.time() - parse_duration(text).total_seconds()
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    message = f"{text!r} is neither a time (2026-01-31T12:00) nor how long ago (1h30m)"
    raise click.BadParameter(message, ctx, parameter)


def _fields(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Field, ...]:
    return tuple(_field(ctx, parameter, text) for text in texts)


def _field(ctx: click.Context, parameter: click.Parameter, text: str) -> Field:
    try:
        return parse_field(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


@click.command()
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended, starting an engine if need be.")
@click.option("-n", "--limit", metavar="NUMBER", type=click.IntRange(min=1), help="Only the last entries.")
@click.option(
    "--level",
    type=click.Choice([level.name.lower() for level in Level]),
    default="debug",
    help="Only entries of this level or above.",
)
@click.option("--grep", metavar="TEXT", help="Only entries shown with this text, in upper or lower case.")
@click.option("--since", metavar="TIME", callback=_moment, help="Only entries from then on: 10m (ago), or as ISO 8601.")
@click.option("--until", metavar="TIME", callback=_moment, help="Only entries up to then.")
@click.option(
    "--where",
    "fields",
    metavar="KEY[=VALUE]",
    multiple=True,
    callback=_fields,
    help="Only entries with this value: as JSON, True, False or None, or a text as it is. Without VALUE, any. Can be"
    " repeated.",
)
@click.option("--logger", metavar="NAME", help="Only entries of this logger of Python's logging, and those below it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, or NDJSON with --follow.")
@project_option
def command(
    project: Project,
    identifier: str,
    follow: bool,
    limit: int | None,
    level: str,
    grep: str | None,
    since: float | None,
    until: float | None,
    fields: tuple[Field, ...],
    logger: str | None,
    as_json: bool,
) -> None:
    """Show the log and output of a run, a step or an execution."""
    streams = open_streams()
    levels = [one for one in Level if one >= Level[level.upper()]]
    wanted = LogFilter(levels, grep, since, until, logger, fields)
    with open_history(project) as history, ExitStack() as stack:
        selection = Selection(history, resolve_id(history, identifier), wanted)
        # Subscribed before the first look at the store, so that nothing falls between the two.
        client = _connect(stack, project, history, selection.run) if follow else None
        if client is not None:
            client.send(Subscribe(selection.run))
        printer = Documents(streams.out) if as_json and not follow else Entries(streams, history, as_json)
        for entry in selection.new(limit):
            if client is None or not entry.live:
                printer.entry(entry)
            if streams.out.error is not None:
                break
        if client is not None:
            _follow(client, history, selection, printer, streams)
        printer.end()
        if follow and not as_json and streams.out.error is None:
            streams.err.line(describe_end(f"run {selection.run}", *end_of_step(history, selection.run)))
    streams.finish()


class Selection:
    """The entries that were asked for, each time from where it stopped."""

    def __init__(self, history: History, identifier: RunId, wanted: LogFilter) -> None:
        self.run = identifier.run
        self._history = history
        self._step = identifier.step
        self._attempt = identifier.attempt
        self._wanted = wanted
        self._after = 0

    def new(self, last: int | None = None) -> Iterator[LogEntry]:
        """What has come since the last call, or only the `last` entries of it."""
        if last is not None:
            yield from self._page(limit=last, before=1 << 62)
        while page := self._page(limit=1000):
            yield from page

    def _page(self, limit: int, before: int | None = None) -> list[LogEntry]:
        page = self._history.logs(self.run, self._step, self._attempt, self._after, limit, self._wanted, before)
        if page:
            self._after = page[-1].id
        return page


class Entries:
    """A line for people, or an object for programs, for each entry."""

    def __init__(self, streams: Streams, history: History, as_json: bool) -> None:
        self._out = streams.out
        self._painter = Painter(streams.out_terminal.color)
        self._history = history
        self._as_json = as_json
        self._names: dict[int, str] = {}

    def entry(self, entry: LogEntry) -> None:
        if self._as_json:
            self._out.json(msgspec.json.encode({"version": VERSION, **log_object(entry)}))
        else:
            clock = time.strftime("%H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d} "
            for line in log_lines(entry, self._name(entry), self._painter):
                self._out.line(self._painter.paint(clock, "dim") + line)
        self._out.flush()

    def end(self) -> None:
        pass

    def _name(self, entry: LogEntry) -> str:
        if entry.step not in self._names:
            steps = self._history.steps(entry.run, after=entry.step - 1, limit=1)
            self._names[entry.step] = steps[0].name if steps else ""
        return self._names[entry.step]


class Documents:
    """One JSON document, written entry by entry: it may be bigger than what fits into memory."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._separator = f'{{"version":{VERSION},"logs":['

    def entry(self, entry: LogEntry) -> None:
        self._out.json(self._separator + msgspec.json.encode(log_object(entry)).decode())
        self._separator = ","
        self._out.flush()

    def end(self) -> None:
        self._out.json("]}" if self._separator == "," else f"{self._separator}]}}")


def _connect(stack: ExitStack, project: Project, history: History, run: str) -> Client | None:
    """A connection to the engine, which an unfinished run makes go on; None when nothing more can come."""
    row = history.run(run)
    return None if row is None or row.settled else stack.enter_context(connect(project, "command"))


def _follow(
    client: Client, history: History, selection: Selection, printer: Entries | Documents, streams: Streams
) -> None:
    """Print what comes until the run has settled or nobody reads any more."""
    row = history.run(selection.run)
    settled = row is None or row.settled
    while streams.out.error is None:
        for entry in selection.new():
            if not entry.live:  # what is drawn again and again is told of when it is complete
                printer.entry(entry)
        if settled:
            return
        message = client.receive(None)
        if isinstance(message, Dropped):
            client.send(Subscribe(selection.run))
        settled = isinstance(message, RunSettled) and message.run == selection.run
