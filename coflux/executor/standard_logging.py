"""Python's standard `logging` in a worker: its records become log entries of the execution.

Records are taken on their way from the logger to the handlers. A handler of ours on the root logger would miss those of
loggers that do not propagate, and turn the user's own `logging.basicConfig()` into a no-op. The user's handlers are
called as ever, but what they write to our standard output or error then is dropped, since the entry says it already.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from typing import Protocol

from coflux.executor.capture import output_dropped
from coflux.logs import Level
from coflux.previews import class_name, message_of
from coflux.suspension import Suspending
from coflux.tracebacks import describe, printable

__all__ = ["Entries", "prepare", "record_into"]

CAPTURED_LEVEL = logging.INFO
DEEPEST = 5  # an argument may log while a record is being formatted, even itself; so may a finalizer at any time

_OWN_FRAME = f'  File "{os.path.dirname(os.path.abspath(__file__))}{os.sep}'
_WORKER_FRAME = f'{_OWN_FRAME}worker.py"'
_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class Entries(Protocol):
    """Where records go: the execution that is running."""

    def log_record(self, at: float, level: int, text: str, values: dict[str, object], logger: str) -> None: ...


_entries: Entries | None = None
_process = 0  # the one that executes: what the user's code forks from it has no execution
_depths: dict[int, int] = {}  # by thread: how many records it is making entries of, or has its handlers called for
_call_handlers = logging.Logger.callHandlers
_report_thread = threading.excepthook


def prepare() -> None:
    """For a process that will import the user's modules, before it does."""
    # What the modules set themselves, by `basicConfig(level=...)` or `setLevel`, comes later and counts.
    logging.root.setLevel(CAPTURED_LEVEL)
    logging.Logger.callHandlers = _call_handlers_captured  # type: ignore[assignment,method-assign]
    threading.excepthook = _thread_failed


def record_into(entries: Entries | None) -> None:
    """Make entries of what is logged from now on; `None`: leave it to the handlers."""
    global _entries, _process
    _entries = entries
    _process = os.getpid()


def _call_handlers_captured(logger: logging.Logger, record: logging.LogRecord) -> None:
    entries = _entries
    thread = threading.get_ident()
    depth = _depths.get(thread, 0)
    if (
        entries is None
        or record.levelno < CAPTURED_LEVEL
        or depth == DEEPEST
        or os.getpid() != _process
        or _is_silenced(logger)
    ):
        _call_handlers(logger, record)
        return
    try:
        _depths[thread] = depth + 1
        # asyncio tells, as an error, of code that was left because the execution is suspended.
        if not isinstance(_error(record), Suspending):
            entries.log_record(record.created, _level(record.levelno), _text(record), _extra(record), record.name)
        with output_dropped():
            _call_handlers(logger, record)
    finally:
        if depth:
            _depths[thread] = depth
        else:
            del _depths[thread]


def _error(record: logging.LogRecord) -> BaseException | None:
    """The exception that it is about. (`exc_info=False` stays as it is, and a record may be made by hand.)"""
    return record.exc_info[1] if isinstance(record.exc_info, tuple) else None


def _is_silenced(logger: logging.Logger) -> bool:
    """Whether nobody is meant to see its records: they reach neither a handler nor the root logger."""
    link: logging.Logger | None = logger
    while link is not None:
        if not all(isinstance(handler, logging.NullHandler) for handler in link.handlers):
            return False
        if not link.propagate:
            return True
        link = link.parent
    return False


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    return Level.WARNING if number >= logging.WARNING else Level.INFO


def _text(record: logging.LogRecord) -> str:
    """The message, and below it the traceback and the stack, where it has them."""
    parts = [_message(record)]
    error = _error(record)
    if error is not None:
        parts.append(describe(error).text.removesuffix("\n"))
    elif record.exc_text:
        parts.append(f"{record.exc_text}")
    if record.stack_info:
        parts.append(_users_frames(f"{record.stack_info}"))
    return printable("\n".join(parts))


def _message(record: logging.LogRecord) -> str:
    try:
        return f"{record.getMessage()}"
    except Exception as error:  # noqa: BLE001 (the arguments' own code runs here, or they do not fit the message)
        message = record.msg if isinstance(record.msg, str) else class_name(type(record.msg))
        return f"{message} (not filled in: {class_name(type(error))}: {message_of(error)})"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {f"{name}": value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}


def _users_frames(stack: str) -> str:
    """A stack as text, without the frames that led to the user's code."""
    head, *frames = re.split(r'^(?=  File ")', stack, flags=re.MULTILINE)
    entries = [number for number, frame in enumerate(frames, 1) if frame.startswith(_WORKER_FRAME)]
    first = entries[-1] if entries else 0
    return head + "".join(frame for frame in frames[first:] if not frame.startswith(_OWN_FRAME))


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    """A thread has ended with an exception: that is a warning, whatever becomes of the execution."""
    entries = _entries
    error = arguments.exc_value
    if entries is None or error is None or isinstance(error, SystemExit) or os.getpid() != _process:
        _report_thread(arguments)
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    text = printable(f"exception in thread {name}\n{describe(error).text}".removesuffix("\n"))
    entries.log_record(time.time(), Level.WARNING, text, {}, "threading")
