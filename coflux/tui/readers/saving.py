"""Writes to files what people want to keep: a result, a traceback, a log, or what is too big for the clipboard."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from coflux.encoded import Value, json_of, preview_of, summary_of
from coflux.executor import log_values
from coflux.executor.database import StoreError
from coflux.executor.history import History, LogEntry
from coflux.executor.messages import Failed as FailedOutcome
from coflux.executor.messages import Outcome, Succeeded, Terminated
from coflux.executor.rows import parse_execution_id
from coflux.logs import Level, render
from coflux.tui.readers.jobs import JobReader
from coflux.tui.updates import Failed, FileThere, KeepAsked, Request, Said, SaveAsked, Update

__all__ = ["SavingReader"]

PAGE = 2000  # log entries that are written at a time


class SavingReader(JobReader):
    """One file after the other; a long log in portions."""

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        match request:
            case SaveAsked():
                self.begin(self._save(history, request))
            case KeepAsked():
                self.begin(_keep(history, request))
        yield from ()

    def _save(self, history: History, request: SaveAsked) -> Iterator[Update | None]:
        """Write it, and tell how that went; `None` in between."""
        path = os.path.abspath(os.path.expanduser(request.path))
        try:
            with _opened(path, overwrite=request.overwrite) as file:
                try:
                    for piece in _pieces(history, request):
                        file.write(piece.encode("utf-8", "backslashreplace"))
                        yield None
                except BaseException:
                    with suppress(OSError):
                        os.unlink(path)
                    raise
                size = file.tell()
        except FileExistsError:
            yield FileThere(request)
        except OSError as error:
            yield Failed(request, f"cannot write {path}: {error.strerror or error}")
        except StoreError as error:
            yield Failed(request, f"cannot read the {request.what} of {request.execution}: {error}")
        else:
            yield Said("info", f"{request.what} of {request.execution} saved to {path} ({size:,} bytes)")


def _keep(history: History, request: KeepAsked) -> Iterator[Update]:
    directory = os.path.join(history.data_dir, "copied")
    path = os.path.join(directory, request.name)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(request.text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        yield Failed(request, f"cannot write {path}: {error.strerror or error}")
    else:
        yield Said("info", f"{request.what}: {len(request.text):,} characters written to {path}")


def _opened(path: str, *, overwrite: bool) -> IO[bytes]:
    """Raises `FileExistsError` where there is a file, unless that is to be overwritten."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(
            "it is a directory" if os.path.isdir(path) else "it is no regular file"
        )  # a pipe would hold us up
    return open(path, "wb" if overwrite else "xb")


def _pieces(history: History, request: SaveAsked) -> Iterator[str]:
    if request.what == "log":
        yield from _log(history, request.execution)
        return
    end = history.chain_end(request.execution)
    outcome = history.outcome(request.execution) or (None if end is None else history.outcome(end.id))
    yield _problem(outcome) if request.what == "traceback" else _result(outcome)


def _result(outcome: Outcome | None) -> str:
    """As `coflux runs result --raw` prints it."""
    return _text(outcome.value) if isinstance(outcome, Succeeded) else ""


def _text(value: Value) -> str:
    text = json_of(value)
    if text is None:
        return (summary_of(value) or preview_of(value)) + "\n"
    return str(json.loads(text)) if text.startswith('"') else text + "\n"


def _problem(outcome: Outcome | None) -> str:
    match outcome:
        case FailedOutcome(failure):
            return failure.traceback
        case Terminated(_, message):
            return message + "\n"
        case _:
            return ""


def _log(history: History, execution: str) -> Iterator[str]:
    run, step, attempt = parse_execution_id(execution)
    after = 0
    while entries := history.logs(run, step, attempt, after, PAGE):
        yield "".join([_line(entry) for entry in entries])
        after = entries[-1].id


def _line(entry: LogEntry) -> str:
    """`2026-11-24 12:03:22.123 info app.db: text`, in local time; what was printed has no level."""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d}"
    level = Level(entry.level)
    logger = "" if entry.logger is None else f" {entry.logger}"
    label = "" if level in (Level.STDOUT, Level.STDERR) else f"{level.name.lower()}{logger}: "
    text = render(entry.template, log_values.texts(entry.values), literal=entry.logger is not None)
    return f"{clock} {label}{text}\n"
