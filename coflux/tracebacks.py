"""The text of a traceback: every cause, context, note and group member, without the engine's frames and without the
secrets that this process knows."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple

from coflux.encoded import Frame
from coflux.errors import ExecutionError
from coflux.previews import class_name, message_of
from coflux.redaction import THIS_PROCESS

__all__ = [
    "CAUSE",
    "CONTEXT",
    "Description",
    "Frame",
    "RemoteTraceback",
    "clip",
    "describe",
    "printable",
    "without_engine_frames",
]

MESSAGE_LIMIT = 64 * 1024  # characters
FRAME_LIMIT = 100  # innermost frames kept as data; the text collapses recursion by itself
CHAIN_LIMIT = 100  # exceptions shown behind one another
GROUP_LIMIT = 15  # members shown of one group, as in Python

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in another process: prints its traceback there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class Description(NamedTuple):
    text: str
    frames: tuple[Frame, ...]


def describe(error: BaseException) -> Description:
    """The traceback of `error` as text and its visible frames as data, innermost last. Never raises."""
    try:
        summary = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        frames = [
            Frame(printable(frame.filename), frame.lineno or 0, printable(frame.name), printable(frame.line or ""))
            for frame in _visible(summary.stack, error)[-FRAME_LIMIT:]
        ]
        return Description(printable("".join(_chain(summary, error, set()))), tuple(frames))
    except BaseException:  # noqa: BLE001  # the exception's own code runs here (__cause__, __notes__, …)
        return Description(printable(f"{class_name(type(error))}: {clip(message_of(error))}\n"), ())


def clip(text: str) -> str:
    """Shorten a message to 64 Ki characters, without secrets."""
    text = THIS_PROCESS.text(text)
    if len(text) <= MESSAGE_LIMIT:
        return text
    return f"{text[:MESSAGE_LIMIT]}… ({len(text) - MESSAGE_LIMIT} more characters)"


def printable(text: str) -> str:
    """`text` without secrets, and with lone surrogates escaped, so that it has a UTF-8 form."""
    text = THIS_PROCESS.text(text)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def without_engine_frames(error: BaseException) -> BaseException:
    """`error`, with the engine's frames taken out of its traceback and of those of its causes."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = _users_part(link.__traceback__)
        link = link.__cause__
    return error


def _users_part(entry: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while entry is not None:
        if not os.path.abspath(entry.tb_frame.f_code.co_filename).startswith(_PACKAGE):
            kept.append(entry)
        entry = entry.tb_next
    rest: TracebackType | None = None
    for entry in reversed(kept):
        rest = TracebackType(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return rest


def _chain(summary: traceback.TracebackException, error: BaseException, shown: set[str]) -> list[str]:
    """`error` after everything that led to it. `shown` holds the remote tracebacks that are already there."""
    links: list[tuple[traceback.TracebackException, BaseException, str]] = []
    connector = ""
    while len(links) < CHAIN_LIMIT:
        links.append((summary, error, connector))
        if summary.__cause__ is not None and error.__cause__ is not None:
            summary, error, connector = summary.__cause__, error.__cause__, CAUSE
        elif summary.__context__ is not None and error.__context__ is not None and not summary.__suppress_context__:
            summary, error, connector = summary.__context__, error.__context__, CONTEXT
        else:
            break
    lines: list[str] = []
    for link_summary, link_error, link_connector in reversed(links):
        block = _block(link_summary, link_error, shown)
        if block:
            lines += [*block, link_connector]
    return lines


def _block(summary: traceback.TracebackException, error: BaseException, shown: set[str]) -> list[str]:
    """One exception without what led to it."""
    if isinstance(error, RemoteTraceback):
        if error.text in shown:
            return []
        shown.add(error.text)
        return [error.text]
    stack = _visible(summary.stack, error)
    lines = ["Traceback (most recent call last):\n", *stack.format()] if stack else []
    lines.append(clip("".join(summary.format_exception_only()).removesuffix("\n")) + "\n")
    if isinstance(error, BaseExceptionGroup) and summary.exceptions is not None:
        for number, (member_summary, member) in enumerate(zip(summary.exceptions, error.exceptions, strict=True), 1):
            if number > GROUP_LIMIT:
                lines.append(f"  +---------------- and {len(error.exceptions) - GROUP_LIMIT} more\n")
                break
            lines.append(f"  +---------------- {number} ----------------\n")
            lines += _indented(_chain(member_summary, member, shown))
        lines.append("  +------------------------------------\n")
    return lines


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  | {line}\n" for line in "".join(lines).splitlines()]


def _visible(stack: traceback.StackSummary, error: BaseException) -> traceback.StackSummary:
    """The frames outside the engine. Where there are no others all of them, unless `error` is one that the engine meant
    to raise: its message says it all."""
    users = [frame for frame in stack if not os.path.abspath(frame.filename).startswith(_PACKAGE)]
    return traceback.StackSummary.from_list(users if users or isinstance(error, ExecutionError) else stack)
