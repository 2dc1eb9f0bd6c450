"""An exception and what led to it: what was said first, then where, the user's own code before that of libraries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

from coflux.encoded import Frame
from coflux.executor.causes import Cause, GroupMember, is_library
from coflux.executor.messages import Terminated
from coflux.tui.details.page import Fold, Page, wrap
from coflux.tui.details.source import colored, dedented
from coflux.tui.painting import Piece
from coflux.tui.text import clean
from coflux.tui.updates import Details, Excerpt

__all__ = ["paint_error", "paint_termination"]

MESSAGE_LINES = 6
CALLERS = 4  # frames of the user's, above the innermost one
CAUSES = 10
MEMBERS = 10

_LINKS = {"": "", "cause": "caused by ", "context": "while handling "}


def paint_error(page: Page, details: Details) -> None:
    """The exception, its members if it is a group, and what led to it."""
    for number, cause in enumerate(details.causes[:CAUSES]):
        if number:
            page.gap()
        _cause(page, details, cause, f"cause {number}", "" if number else details.notes)
        if not number:
            _members(page, details, details.members, "member")
    if len(details.causes) > CAUSES:
        page.line((f"{page.glyphs.ellipsis} {len(details.causes) - CAUSES} more that led to it", "dim"))


def paint_termination(page: Page, outcome: Terminated) -> None:
    """What the engine ended, with the evidence."""
    first, _, stack = outcome.message.partition("\n")
    page.text(first, "yellow" if outcome.kind == "cancelled" else "red bold")
    lines = stack.splitlines()
    shown = page.is_open("evidence")
    for line in lines if shown else lines[: 2 * MESSAGE_LINES]:
        page.line((clean(line), "cyan" if line.startswith("  File ") else ""))
    if len(lines) > 2 * MESSAGE_LINES:
        page.more("less" if shown else f"{len(lines) - 2 * MESSAGE_LINES} more lines", "evidence", shown=shown)


def _cause(page: Page, details: Details, cause: Cause, part: str, notes: str = "") -> None:
    _message(page, cause, part)
    if notes:
        page.text(notes, "yellow", lines=MESSAGE_LINES)
    with page.indented("  "):
        _frames(page, details, cause.frames, part)


def _message(page: Page, cause: Cause, part: str) -> None:
    first, _, rest = cause.message.partition("\n")
    if cause.link:
        page.line((_LINKS[cause.link].rstrip(), "dim"))
    said = wrap(clean(f"{cause.type}: {first}" if first else cause.type), page.room)
    shown = page.is_open(f"{part} message")
    typed = len(clean(cause.type)) + 1  # characters
    for line in said if shown else said[:MESSAGE_LINES]:
        page.line((line[:typed], "red bold"), (line[typed:], "bold"))
        typed = max(typed - len(line), 0)
    left_out = 0 if shown else max(len(said) - MESSAGE_LINES, 0)
    if rest:
        left_out += page.text(rest, lines=None if shown else MESSAGE_LINES)
    if left_out or shown:
        page.more("less" if shown else f"{left_out} more lines", f"{part} message", shown=shown)


def _members(page: Page, details: Details, members: Sequence[GroupMember], part: str) -> None:
    for number, member in enumerate(members[:MEMBERS], 1):
        name = f"{part} {number}"
        page.gap()
        page.line((f"{number} of {len(members)}", "dim"))
        with page.indented(f"{page.glyphs.upright} "):
            for rank, cause in enumerate(member.chain):
                _cause(page, details, cause, f"{name} cause {rank}")
                if not rank:
                    _members(page, details, member.members, name)
    if len(members) > MEMBERS:
        page.line((f"{page.glyphs.ellipsis} {len(members) - MEMBERS} more members", "dim"))


# -- where ------------------------------------------------------------------------------------------------------------


def _frames(page: Page, details: Details, frames: Sequence[Frame], part: str) -> None:
    """The innermost frame first. Those of libraries are folded, but for the innermost if there are no others."""
    folds = any(not is_library(frame) for frame in frames)
    users = 0
    runs = [(library, list(run)) for library, run in groupby(reversed(frames), is_library)]
    for number, (library, run) in enumerate(runs):
        if library and not folds:
            _users(page, details, run[:1], f"{part} own", 0)
            run = run[1:]  # noqa: PLW2901
        if library:
            _folded(page, details, run, f"{part} library {number}")
        else:
            _users(page, details, run, f"{part} own {number}", users)
            users += len(run)


def _folded(page: Page, details: Details, frames: Sequence[Frame], part: str) -> None:
    if not frames:
        return
    shown = page.is_open(part)
    page.more(f"{len(frames)} library frame{'s' * (len(frames) > 1)}", part, shown=shown)
    if shown:
        with page.indented("  "):
            for frame in frames:
                _place(page, details, frame, quiet=True)
                _source(page, details.excerpts.get((frame.file, frame.line)), frame, around=False)


def _users(page: Page, details: Details, frames: Sequence[Frame], part: str, before: int) -> None:
    """Frames of the user's own code, `before` which there were others. A frame again and again is told once."""
    distinct = [(frame, len(list(same))) for frame, same in groupby(frames)]
    room = max(1 + CALLERS - before, 0)
    all_shown = page.is_open(part)
    for number, (frame, times) in enumerate(distinct if all_shown else distinct[:room]):
        excerpt = details.excerpts.get((frame.file, frame.line))
        innermost = not before and not number
        name = f"{part} {number}"
        link = Fold(name) if excerpt is not None and excerpt.lines else None
        _place(page, details, frame, times=times, link=link)
        _source(page, excerpt, frame, around=page.is_open(name, at_first=innermost), link=link)
    if len(distinct) > room:
        hidden = len(distinct) - room
        page.more("less" if all_shown else f"{hidden} more frame{'s' * (hidden > 1)}", part, shown=all_shown)


def _place(
    page: Page, details: Details, frame: Frame, *, times: int = 1, quiet: bool = False, link: Fold | None = None
) -> None:
    inside = page.root and frame.file.startswith(page.root + os.sep)
    directory, name = os.path.split(frame.file[len(page.root) + 1 :] if inside else frame.file)
    excerpt = details.excerpts.get((frame.file, frame.line))
    pieces: list[Piece] = [
        (clean(f"{directory}{os.sep}" if directory else ""), "dim"),
        (clean(f"{name}:{frame.line}"), "dim" if quiet else "cyan"),
        (" in ", "dim"),
        (clean(frame.function), "dim" if quiet else "bold"),
    ]
    if times > 1:
        pieces.append((f"  {times} times", "dim"))
    if excerpt is not None and excerpt.changed:
        pieces.append(("  changed since" if excerpt.lines else "  not there any more", "yellow"))
    page.line(*pieces, link=link)


def _source(page: Page, excerpt: Excerpt | None, frame: Frame, *, around: bool, link: Fold | None = None) -> None:
    """The line that was executed, with those around it if they are wanted and there."""
    first, lines = frame.line, tuple(frame.source.split("\n")[:1])
    if around and excerpt is not None and excerpt.lines:
        first, lines = _without_edges(excerpt, frame.line)
    if not any(line.strip() for line in lines):
        return
    width = len(str(first + len(lines) - 1))
    for number, row in enumerate(colored(tuple(dedented(lines))), first):
        executed = number == frame.line
        arrow = f"{page.glyphs.arrow} " if executed else "  "
        page.line(
            (arrow, "red bold" if executed else ""),
            (f"{number:>{width}}  ", "red" if executed else "dim"),
            *row,
            link=link,
        )


def _without_edges(excerpt: Excerpt, executed: int) -> tuple[int, tuple[str, ...]]:
    """The lines of an excerpt that are neither blank nor of what follows the function, and the number of the first."""
    numbered = list(enumerate(excerpt.lines, excerpt.first))
    inside = dict(numbered).get(executed, "")[:1].isspace()
    numbers = [executed]
    for number, line in numbered:
        if inside and number > executed and line and not line[0].isspace():
            break
        if line.strip():
            numbers.append(number)
    numbers.sort()
    return numbers[0], excerpt.lines[numbers[0] - excerpt.first : numbers[-1] - excerpt.first + 1]
