"""A text to be read: lines in so many cells, some of which lead somewhere or unfold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.cells import chop_cells

from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len, clean, fit, pad
from coflux.tui.tree import Rank

__all__ = ["Fold", "Line", "Link", "Page", "ToAttempt", "ToRun", "ToStep", "wrap"]

Line = Sequence[Piece]

NAME_WIDTH = 10  # cells of a label, with the space after it
NARROWEST = 4  # cells that text is wrapped in


class Fold(NamedTuple):
    """Shows or hides a part of the page."""

    part: str


class ToAttempt(NamedTuple):
    rank: Rank


class ToStep(NamedTuple):
    run: str
    step: int


class ToRun(NamedTuple):
    run: str


Link = Fold | ToAttempt | ToStep | ToRun
"""What enter does on a line."""


class Page:
    """Lines of at most `width` cells, as they are written.

    Attributes:
        links: what lines do, by their number.
        unfolded: the parts that are shown although they are folded at first, and the other way round.
        root: a directory: files below it are named from there.
    """

    def __init__(self, width: int, glyphs: Glyphs, unfolded: Collection[str] = (), root: str = "") -> None:
        self.lines: list[Line] = []
        self.links: dict[int, Link] = {}
        self.glyphs = glyphs
        self.root = root
        self._width = width
        self._unfolded = unfolded
        self._margin: list[Piece] = []

    @property
    def room(self) -> int:
        """The cells of a line."""
        return max(self._width - sum(cell_len(text) for text, _ in self._margin), 1)

    def is_open(self, part: str, *, at_first: bool = False) -> bool:
        """Whether a part is shown; `at_first`: until it is folded."""
        return (part in self._unfolded) != at_first

    @contextmanager
    def indented(self, margin: str = "  ", style: str = "dim") -> Iterator[None]:
        """All lines begin with this."""
        self._margin.append((margin, style))
        try:
            yield
        finally:
            self._margin.pop()

    def line(self, *pieces: Piece, link: Link | None = None) -> None:
        """One line; what does not fit is cut off."""
        if link is not None:
            self.links[len(self.lines)] = link
        self.lines.append([*self._margin, *_cut(pieces, self.room, self.glyphs.ellipsis)])

    def gap(self) -> None:
        """An empty line, unless there is one, or nothing above it."""
        if self.lines and self.lines[-1]:
            self.lines.append([])

    def heading(self, title: str, note: str = "") -> None:
        self.gap()
        left = f"{title} " if not note else f"{title} {note} "
        rule = self.glyphs.rule * max(self.room - cell_len(left), 0)
        self.line((title, "bold"), (f" {note}" if note else "", "dim"), (" ", ""), (rule, "dim"))

    def facts(self, facts: Sequence[Line], gap: int = 3) -> None:
        """Short texts one after the other, in as many lines as they need."""
        row: list[Piece] = []
        used = 0
        for fact in facts:
            width = sum(cell_len(text) for text, _ in fact)
            if row and used + gap + width > self.room:
                self.line(*row)
                row, used = [], 0
            if row:
                row.append((" " * gap, ""))
                used += gap
            row += fact
            used += width
        if row:
            self.line(*row)

    def text(self, text: str, style: str = "", *, lines: int | None = None, link: Link | None = None) -> int:
        """Text in as many lines as it needs, or in so many; returns how many are left out. All lead to `link`."""
        pieces = [piece for line in text.split("\n") for piece in wrap(clean(line), self.room)]
        for piece in pieces[:lines]:
            self.line((piece, style), link=link)
        return 0 if lines is None else max(len(pieces) - lines, 0)

    def field(self, name: str, text: str, style: str = "", *, link: Link | None = None, lines: int = 3) -> None:
        """`name  text`, the text wrapped below itself."""
        label = fit(clean(name), NAME_WIDTH - 1, self.glyphs.ellipsis)
        wrapped = wrap(clean(text), self.room - NAME_WIDTH)
        if len(wrapped) > lines:
            wrapped[lines - 1 :] = [fit("".join(wrapped[lines - 1 :]), self.room - NAME_WIDTH, self.glyphs.ellipsis)]
        for number, piece in enumerate(wrapped):
            self.line((pad("" if number else label, NAME_WIDTH), "dim"), (piece, style), link=link)

    def more(self, text: str, part: str, *, shown: bool = False) -> None:
        """A line that shows or hides a part."""
        mark = self.glyphs.open if shown else self.glyphs.closed
        self.line((f"{mark} {text}", "dim"), link=Fold(part))


def wrap(text: str, cells: int) -> list[str]:
    """`text` in lines of so many cells, broken at spaces where there are any."""
    cells = max(cells, NARROWEST)
    lines: list[str] = []
    while cell_len(text) > cells:
        piece = chop_cells(text[: 4 * cells], cells)[0]
        if not text[len(piece) :].startswith(" "):
            space = piece.rfind(" ")
            piece = piece[: space + 1] if space > cells // 3 else piece
        lines.append(piece.rstrip() or piece)
        text = text[len(piece) :].lstrip(" ")
    return [*lines, text] if text or not lines else lines


def _cut(pieces: Sequence[Piece], cells: int, ellipsis: str) -> list[Piece]:
    if sum(cell_len(text) for text, _ in pieces) <= cells:
        return list(pieces)
    kept: list[Piece] = []
    for text, style in pieces:
        width = cell_len(text)
        if width >= cells:
            kept.append((fit(f"{text} ", cells, ellipsis), style))
            break
        kept.append((text, style))
        cells -= width
    return kept
