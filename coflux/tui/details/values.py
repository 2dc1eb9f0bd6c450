"""Arguments and results: a line each, and some lines of what has more to show, tables among them."""

from __future__ import annotations

import re

from coflux.tui.details.page import NAME_WIDTH, Fold, Page, wrap
from coflux.tui.painting import Piece
from coflux.tui.text import cell_len, clean, fit, pad
from coflux.tui.updates import ShownValue

__all__ = ["paint_value"]

FEW_LINES = 2  # of a text, until it is unfolded

# What a frame's columns are of, in the line below their names.
_TYPE = re.compile(
    r"(u?int|float|complex|bool|str|utf|cat|obj|date|time|dur|dec|list|dict|struct|null|bin|large)\w*\S*", re.I
)


def paint_value(page: Page, name: str, value: ShownValue, part: str, *, lines: int) -> None:
    """`name  value`, or only the value where there is no name, and up to `lines` of its summary below until it is
    unfolded, then all of it."""
    if value.summary:
        _summary(page, name, value.summary.split("\n"), part, lines)
        return
    if not name:
        page.text(value.preview)  # it is no longer than a few lines
        return
    wrapped = wrap(clean(value.preview), page.room - NAME_WIDTH)
    if len(wrapped) <= FEW_LINES:
        page.field(name, value.preview, lines=FEW_LINES)
        return
    shown = page.is_open(part)
    page.field(name, value.preview, lines=len(wrapped) if shown else FEW_LINES, link=Fold(part))


def _summary(page: Page, name: str, summary: list[str], part: str, limit: int) -> None:
    headline, *lines = map(clean, summary)
    shown = page.is_open(part)
    table = len(lines) > 2 and _are_types(lines[1])
    hidden = len(lines) - limit
    wide = not table and any(cell_len(line) > page.room - 2 for line in lines)
    fold = Fold(part) if hidden > 0 or wide else None
    label = pad(fit(clean(name), NAME_WIDTH - 1, page.glyphs.ellipsis), NAME_WIDTH) if name else ""
    page.line((label, "dim"), (headline, "cyan"), link=fold)
    with page.indented("  "):
        if table:
            lines = _cut_between_columns(lines, page.room, page.glyphs.ellipsis)
        for number, line in enumerate(lines if shown else lines[:limit]):
            if shown and wide:
                page.text(line, link=fold)
            else:
                page.line(*_row(line, number if table else -1), link=fold)
    if fold is not None:
        more = f"{hidden} more line{'s' * (hidden > 1)}" if hidden > 0 else "whole lines"
        page.more("less" if shown else more, part, shown=shown)


def _row(line: str, number: int) -> list[Piece]:
    """A line of a table, if `number` is not negative: the names of its columns, their types, then rows."""
    if number == 0:
        return [(line, "bold")]
    return [(line, "dim" if number == 1 or line.startswith("…") else "")]


def _are_types(line: str) -> bool:
    words = line.removesuffix("…").split()
    return bool(words) and all(_TYPE.fullmatch(word) for word in words)


def _cut_between_columns(lines: list[str], width: int, ellipsis: str) -> list[str]:
    """The lines of a table, without the columns that do not fit as a whole."""
    rows = [line for line in lines if not line.startswith("…")]
    if max(map(len, rows)) <= width:
        return lines
    for end in range(width - len(ellipsis) - 2, 0, -1):
        if all(row[end : end + 2].strip() == "" and row[:end].strip() for row in rows):
            return [line if line.startswith("…") else f"{line[:end].ljust(end)}  {ellipsis}" for line in lines]
    return lines
