"""An exception and what led to it, as data: read from the text of its traceback, which is what is kept of causes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from coflux.encoded import Failure, Frame
from coflux.tracebacks import CAUSE, CONTEXT

__all__ = ["Cause", "GroupMember", "cause_chain", "is_library", "members_of", "notes_of", "users_frames"]

_FRAME = re.compile(r'  File "(.*)", line (\d+), in (.*)')
_LIBRARY = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3[.\d]*[/\\]|^<frozen ")
_LINKS = re.compile(f"({re.escape(CAUSE)}|{re.escape(CONTEXT)})")
_HEADER = "Traceback (most recent call last):"
_MEMBER = re.compile(r"  \+-{16} (?:\d+ -{16}|and (\d+) more|-*)")


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
    return [Cause(failure.type.removeprefix("builtins."), failure.message, failure.frames), *_led_to(parts)]


class GroupMember(NamedTuple):
    """A member of an exception group: its chain, as of `cause_chain`, and the members of its own if it is a group."""

    chain: list[Cause]
    members: list[GroupMember]


def notes_of(failure: Failure) -> str:
    """The notes of the exception itself, a line each; "" for none."""
    text, _ = _parted(_parse(_LINKS.split(failure.traceback)[-1]).message)
    return text.removeprefix(failure.message).strip("\n") if text.startswith(failure.message) else ""


def members_of(failure: Failure) -> list[GroupMember]:
    """The members of an exception group, as many as its traceback shows; none of any other exception."""
    _, members = _parted(_parse(_LINKS.split(failure.traceback)[-1]).message)
    return members


def is_library(frame: Frame) -> bool:
    """Whether a frame is of the standard library or of an installed package."""
    return _LIBRARY.search(frame.file) is not None


def users_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Those outside the standard library and installed packages; the innermost one if there are no others."""
    return [frame for frame in frames if not is_library(frame)] or list(frames[-1:])


def _led_to(parts: list[str]) -> Iterator[Cause]:
    """What led to the exception that the last part of a text is about; what came first is at the top."""
    for block, connector in zip(parts[-3::-2], parts[-2::-2], strict=True):
        yield _parse(block)._replace(link="cause" if connector == CAUSE else "context")


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


def _parted(message: str) -> tuple[str, list[GroupMember]]:
    """The message of a group without its members, and these."""
    lines = message.split("\n")
    text: list[str] = []
    while lines and not _MEMBER.fullmatch(lines[0]):
        text.append(lines.pop(0))
    blocks: list[list[str]] = []
    for line in lines:
        if _MEMBER.fullmatch(line):
            blocks.append([])
        elif line.startswith("  | "):
            blocks[-1].append(line.removeprefix("  | "))
    return "\n".join(text), [_member("\n".join(block)) for block in blocks if block]


def _member(text: str) -> GroupMember:
    parts = _LINKS.split(text + "\n")
    own, members = _parted(_parse(parts[-1]).message)
    return GroupMember([_parse(parts[-1])._replace(message=own), *_led_to(parts)], members)
