"""Text of the user's code on the screen: cleaned once, measured in cells, cut where it must be."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

from coflux.display.text import visible

__all__ = ["LIMIT", "cell_len", "clean", "fit", "pad"]

LIMIT = 4096  # characters of one line that are shown

# Terminals disagree about the width of what these join or select, so nobody could say where the next cell is.
_JOINERS = re.compile("[\u00ad\u200b-\u200d\u2060-\u2064\ufe00-\ufe0f\ufeff]")


def clean(text: str, limit: int = LIMIT) -> str:
    """`text` as one line that is safe to draw: nothing in it moves the cursor, changes colours or reorders cells."""
    if len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return visible(_JOINERS.sub("", text).replace("\t", "    "))


def fit(text: str, cells: int, ellipsis: str = "…") -> str:
    """`text` in at most `cells` cells, with an ellipsis where something is cut off."""
    if cells <= 0:
        return ""
    if (len(text) <= cells and text.isascii()) or cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(cells - len(ellipsis), 0)) + ellipsis[:cells]


def pad(text: str, cells: int) -> str:
    """`text` and spaces, `cells` cells in all."""
    return text + " " * (cells - cell_len(text))
