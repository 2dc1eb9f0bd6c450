"""What differs between two pictures of a line."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

__all__ = ["changed_part"]


def changed_part(before: Strip, after: Strip) -> tuple[int, int] | None:
    """The part of a line that has to be painted for it to look like `after`: from which cell, and how many. `None` if
    there is none."""
    if before == after:
        return None
    width = after.cell_length
    if before.cell_length != width:
        return 0, width
    old, new = list(before), list(after)
    start = _alike(old, new)
    end = width - _alike(old[::-1], new[::-1], reverse=True)
    return start, max(end - start, 1)


def _alike(old: list[Segment], new: list[Segment], *, reverse: bool = False) -> int:
    """How many cells are alike, from the first segment on; with `reverse` the segments are read backwards."""
    cells = 0
    for one, other in zip(old, new, strict=False):
        if one == other:
            cells += cell_len(one.text)
            continue
        if one.style == other.style:
            texts = [one.text[::-1], other.text[::-1]] if reverse else [one.text, other.text]
            cells += cell_len(_beginning(*texts))
        break
    return cells


def _beginning(one: str, other: str) -> str:
    """What two texts have in common from their first character on."""
    for index, (character, counterpart) in enumerate(zip(one, other, strict=False)):
        if character != counterpart:
            return one[:index]
    return min(one, other, key=len)
