"""An exception and what led to it, as data: read from the text of its traceback, which is what is kept of causes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from coflux.encoded import Failure, Frame
from coflux.tracebacks import CAUSE, CONTEXT

__all__ = ["Cause", "cause_chain", "users_frames"]

_FRAME = re.compile(r'  File "(.*)", line (\d+), in (.*)')
_LIBRARY = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3[.\d]*[/\\]|^<frozen ")
_LINKS = re.compile(f"({re.escape(CAUSE)}|{re.escape(CONTEXT)})")
_HEADER = "Traceback (most recent call last):"


class Cause(NamedTuple):
    """One exception. `type` is as the traceback has it, `message` with notes and members of a group; `frames` are in
    the order of the calls. `link` is how it led to the exception before it in the chain, "" for the first: as its
    cause, or while it was handled."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    link: Literal["", "cause", "context"] = ""


def cause_chain(failure: Failure) -> list[Cause]:
    """The exception of a failure, then what led to it, and so on. Exceptions of other processes are among them."""
    parts = _LINKS.split(failure.traceback)
    chain = [Cause(failure.type.removeprefix("builtins."), failure.message, failure.frames)]
    # The text has what came first at the top. Its last part is the exception itself.
    for block, connector in zip(parts[-3::-2], parts[-2::-2], strict=True):
        chain.append(_parse(block)._replace(link="cause" if connector == CAUSE else "context"))
    return chain


def users_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Those outside the standard library and installed packages; the innermost one if there are no others."""
    return [frame for frame in frames if not _LIBRARY.search(frame.file)] or list(frames[-1:])


def _parse(block: str) -> Cause:
    lines = block.strip("\n").split("\n")
    frames: list[Frame] = []
    number = 1 if lines[0] == _HEADER else 0
    if number:
        while number < len(lines) and lines[number].startswith("  "):
            found = _FRAME.fullmatch(lines[number])
            if found is not None:
                file, line, function = found.groups()
                frames.append(Frame(file, int(line), function, ""))
            elif frames and not frames[-1].source and lines[number].startswith("    "):
                frames[-1] = Frame(frames[-1].file, frames[-1].line, frames[-1].function, lines[number].strip())
            number += 1
    first, *more = lines[number:] or [""]
    kind, _, message = first.partition(": ")
    return Cause(kind, "\n".join([message, *more] if message else more), tuple(frames))
