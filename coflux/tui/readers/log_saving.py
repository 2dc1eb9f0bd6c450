"""Writes a log to a file as text, in portions."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import IO

from coflux.display.text import visible_lines
from coflux.executor.database import StoreError
from coflux.executor.history import History, LogEntry
from coflux.logs import Level
from coflux.tui.log_query import shown_text
from coflux.tui.readers.jobs import JobReader
from coflux.tui.readers.log_scope import ScopeReader
from coflux.tui.readers.logs import search_filter
from coflux.tui.updates import Failed, LogFileThere, LogSaveAsked, Request, Said, Update

__all__ = ["LogSaver"]

PORTION = 5000  # ids that are looked at between two turns of others


class LogSaver(JobReader):
    """One file after the other. Each has the entries that were there when it was begun."""

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, LogSaveAsked):
            self.begin(_save(history, request))
        yield from ()


def _save(history: History, request: LogSaveAsked) -> Iterator[Update | None]:
    """Write it, and tell how that went; `None` in between. What cannot be finished is not left behind."""
    path = os.path.abspath(os.path.expanduser(request.path))
    partial = f"{path}.partial-{os.getpid()}"
    count = 0
    if os.path.lexists(path) and not request.overwrite:
        yield LogFileThere(request)
        return
    try:
        try:
            with open(partial, "w", encoding="utf-8", errors="backslashreplace") as file:
                for entries in _pages(history, request):
                    _write(file, entries, history)
                    count += len(entries)
                    yield None
            os.replace(partial, path)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise
    except OSError as error:
        yield Failed(request, f"cannot write {path}: {error.strerror or error}")
    except StoreError as error:
        yield Failed(request, f"cannot read the log: {error}")
    else:
        yield Said("info", f"{count:,} log entries saved to {path}")


def _pages(history: History, request: LogSaveAsked) -> Iterator[list[LogEntry]]:
    newest = history.newest_log_id()
    scope = ScopeReader(request.filter).read(history)
    wanted = search_filter(request.filter, request.search)
    oldest, last = history.log_bounds(scope.runs)
    after = oldest - 1
    while after < min(last, newest):
        until = min(after + PORTION, newest)
        yield history.log_entries(history.log_ids(scope, after, until, wanted))
        after = until


def _write(file: IO[str], entries: list[LogEntry], history: History) -> None:
    """A line for each line of the text, as `coflux logs` prints them."""
    names: dict[tuple[str, int], str] = {}
    for entry in entries:
        key = entry.run, entry.step
        if key not in names:
            names[key] = next((step.name for step in history.steps(entry.run, after=entry.step - 1, limit=1)), "")
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d}"
        logger = "" if entry.logger is None else f" {entry.logger}"
        prefix = f"{clock} {entry.run}:{entry.step} {names[key]} {Level(entry.level).name.lower()}{logger}: "
        for line in visible_lines(shown_text(entry)):
            file.write(f"{prefix}{line}\n")
