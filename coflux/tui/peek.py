"""The step under the cursor in three lines, below a tree that has the screen for itself. Pure."""

from __future__ import annotations

from coflux.display.text import duration
from coflux.encoded import preview_of
from coflux.executor.messages import Succeeded
from coflux.tui.node import PROBLEMS, Node
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len, clean, fit
from coflux.tui.tree import RunTree
from coflux.tui.tree_rows import call_text, mark_of_node, seconds_of_node, state_notes
from coflux.tui.updates import Details

__all__ = ["paint_peek"]

HINT = " enter: inspect"


def paint_peek(
    tree: RunTree, node: Node, details: Details | None, width: int, now: float, glyphs: Glyphs
) -> list[list[Piece]]:
    """Its name, state and time; why it failed, what it returned, or what it is at; its arguments."""
    shown = node.shared or node
    mark, row = mark_of_node(node), shown.execution
    state = "" if row is None else f"{row.status.replace('_', ' ')}  attempt {row.attempt}  "
    seconds = seconds_of_node(shown, now)
    taken = "" if seconds is None else f"{duration(seconds)} "
    head: list[Piece] = [
        (f" {glyphs.mark(mark)} " if mark else " ", mark.style if mark else ""),
        (fit(clean(shown.title), width // 3, glyphs.ellipsis), "bold"),
        (f"  {state}{taken}", ""),
    ]
    room = width - sum(cell_len(text) for text, _ in head) - len(HINT)
    head += [(glyphs.rule * room if room > 0 else "", "dim"), (HINT if room > 0 else "", "dim")]
    return [head, _outcome(tree, node, details, width - 1, now, glyphs), _call(node, width - 1, glyphs)]


def _outcome(tree: RunTree, node: Node, details: Details | None, width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    shown = node.shared or node
    row = shown.execution
    if row is not None and row.status in PROBLEMS and shown.problem:
        return [(fit(f" {clean(shown.problem)}", width, glyphs.ellipsis), "red bold")]
    outcome = details.outcome if row is not None and details is not None and details.row.id == row.id else None
    if isinstance(outcome, Succeeded):
        return [(" = ", "dim"), (fit(clean(preview_of(outcome.value)), width - 3, glyphs.ellipsis), "")]
    pieces: list[Piece] = []
    for text, style in state_notes(tree, node, now, glyphs):
        room = width - sum(cell_len(piece) for piece, _ in pieces)
        pieces.append((fit(f" {text}", room, glyphs.ellipsis), style))
    return pieces


def _call(node: Node, width: int, glyphs: Glyphs) -> list[Piece]:
    return [(fit(f" {call_text(node)}", width, glyphs.ellipsis), "dim")]
