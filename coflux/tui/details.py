"""What there is to know about a step, as lines to be read. Pure: it paints what `Details` holds."""

from __future__ import annotations

from collections.abc import Sequence

from coflux.display.marks import MARKS
from coflux.display.reasons import reason_of
from coflux.display.text import duration
from coflux.encoded import preview_of
from coflux.executor.messages import Failed, Succeeded, Terminated
from coflux.executor.rows import ExecutionRow
from coflux.tui.painting import Glyphs, Piece, mark_of, seconds_of
from coflux.tui.text import cell_len, clean, fit
from coflux.tui.tree import Kind, Node
from coflux.tui.updates import Details

__all__ = ["Line", "describe", "wrapped"]

Line = Sequence[Piece]

NAME_WIDTH = 12  # cells of a label


def describe(node: Node | None, details: Details | None, width: int, now: float, glyphs: Glyphs) -> list[Line]:
    """The lines about the step under the cursor."""
    if node is None:
        return []
    if node.kind is Kind.GROUP:
        return [[(f"group {clean(node.title)}", "bold")]]
    shown = node.shared or node
    lines: list[Line] = []
    row = shown.execution
    if row is not None:
        lines += _state(row, now, width, glyphs)
    if details is None or row is None or details.row.id != row.id:
        return lines
    lines += _arguments(node, details, width)
    match details.outcome:
        case Succeeded(value):
            lines += [[], *wrapped("result", preview_of(value), width)]
        case Failed(failure):
            lines.append([])
            lines.append(
                [(fit(clean(f"{failure.type.removeprefix('builtins.')}: {failure.message}"), width), "red bold")]
            )
            lines += [[(fit(clean(text), width), _traceback_style(text))] for text in failure.traceback.splitlines()]
        case Terminated(_, message):
            lines += [[], *[[(fit(clean(text), width), "red")] for text in message.splitlines()]]
        case None:
            pass
    if len(shown.attempts) > 1:
        lines += [[], [("attempts", "bold")]]
        for rank, attempt in sorted(shown.attempts.items()):
            lines.append(_attempt(attempt, shown.problems.get(rank, ""), width, now, glyphs))
    return lines


def wrapped(name: str, text: str, width: int) -> list[Line]:
    """`name  text`, the text in as many lines as it needs."""
    room = max(width - NAME_WIDTH, 10)
    text = clean(text)
    pieces = [text[start : start + room] for start in range(0, len(text), room)] or [""]
    first: Line = [(fit(name, NAME_WIDTH - 1).ljust(NAME_WIDTH), "dim"), (pieces[0], "")]
    return [first, *[[(" " * NAME_WIDTH, ""), (piece, "")] for piece in pieces[1:]]]


def _state(row: ExecutionRow, now: float, width: int, glyphs: Glyphs) -> list[Line]:
    mark = mark_of(row, row.status)
    seconds = seconds_of(row, now)
    head: list[Piece] = [
        (f"{glyphs.mark(mark)} {row.status.replace('_', ' ')}", mark.style),
        (f"  {row.id}", "dim"),
        ("" if seconds is None else f"  {duration(seconds)}", ""),
    ]
    if row.cpu_seconds is not None and row.peak_memory is not None:
        head.append((f"  cpu {duration(row.cpu_seconds)}  memory {row.peak_memory / (1 << 20):,.0f} MiB", "dim"))
    lines: list[Line] = [head]
    if why := reason_of(row, now):
        lines.append([(fit(clean(why), width), "dim")])
    if row.next is not None:
        lines.append([(f"goes on as {row.next}", "dim")])
    return lines


def _arguments(node: Node, details: Details, width: int) -> list[Line]:
    info = (node.shared or node).info
    if info is None or not details.arguments:
        return []
    lines: list[Line] = [[]]
    for name, value in zip(info.parameters, details.arguments, strict=False):
        lines += wrapped(clean(name), preview_of(value), width)
    return lines


def _traceback_style(line: str) -> str:
    if line.startswith("  File "):
        return "cyan"
    return "" if line.startswith("    ") else "red" if not line.startswith((" ", "Traceback")) else "dim"


def _attempt(row: ExecutionRow, problem: str, width: int, now: float, glyphs: Glyphs) -> Line:
    mark = MARKS[row.status]
    seconds = seconds_of(row, now)
    text = f"{row.attempt}  {row.status.replace('_', ' '):<10} {'' if seconds is None else duration(seconds):>7}  "
    room = width - cell_len(text) - 2
    return [(f"{glyphs.mark(mark)} ", mark.style), (text, ""), (fit(clean(problem or row.reason, 300), room), "red")]
