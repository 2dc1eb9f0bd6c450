"""Which part of a line is painted when it changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from coflux.tui.widgets.strips import changed_part

STYLES = [Style(), Style(bold=True), Style(color="red")]


def strip(*parts: tuple[str, int]) -> Strip:
    return Strip([Segment(text, STYLES[style]) for text, style in parts])


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ([("item(1)  1.0s", 0)], [("item(1)  1.0s", 0)], None),
        ([("item(1)  1.0s", 0)], [("item(1)  1.1s", 0)], (11, 1)),
        ([("► ", 2), ("item", 0), ("  1s", 1)], [("✓ ", 2), ("item", 0), ("  2s", 1)], (0, 9)),
        ([("► ", 2), ("item", 0)], [("► ", 1), ("item", 0)], (0, 2)),
        ([("日本 1", 0)], [("日本 2", 0)], (5, 1)),
        ([("aaa", 0)], [("aa", 0)], (0, 2)),
    ],
)
def test_the_part_that_differs(
    before: list[tuple[str, int]], after: list[tuple[str, int]], part: tuple[int, int] | None
) -> None:
    assert changed_part(strip(*before), strip(*after)) == part


def cells(one: Strip) -> list[tuple[str, Style | None]]:
    return [(character, segment.style) for segment in one for character in segment.text]


_LINES = st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "aa"]), st.integers(0, 2)), min_size=1, max_size=6)


@given(_LINES, _LINES)
def test_all_that_is_not_in_the_part_is_alike(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    old, new = strip(*before).adjust_cell_length(8), strip(*after).adjust_cell_length(8)
    part = changed_part(old, new)
    start, width = part or (0, 0)
    assert 0 <= start <= start + width <= 8
    for column, (one, other) in enumerate(zip(cells(old), cells(new), strict=True)):
        assert one == other or start <= column < start + width
