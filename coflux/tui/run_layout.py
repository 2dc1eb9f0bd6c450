"""Which parts of the run screen are seen at which size. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["ALL", "PARTS", "Layout", "Part", "layout_of"]

Part = Literal["tree", "side", "rail"]
PARTS: tuple[Part, ...] = ("tree", "side", "rail")

TWO = 100  # columns from which on there are two parts beside each other
ALL = 160  # and from which on there are all
PEEK_HEIGHT = 20  # rows from which on a tree that is alone leaves some to its step
SMALLEST = (40, 8)  # columns and rows


class Layout(NamedTuple):
    """
    Attributes:
        bars: whether the timeline is painted beside the tree.
        peek: whether something is told of the step under the cursor below the tree.
    """

    tree: bool = False
    side: bool = False
    rail: bool = False
    bars: bool = False
    peek: bool = False

    @property
    def parts(self) -> list[Part]:
        """Those that are seen; none where there is no room for any."""
        return [part for part in PARTS if getattr(self, part)]


def layout_of(width: int, height: int, front: Part, *, zoomed: bool) -> Layout:
    """What is seen at a size in cells. `front` is the part that is used; `zoomed` gives it the whole screen."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return Layout()
    if zoomed or width < TWO:
        tree = front == "tree"
        return Layout(
            tree=tree,
            side=front == "side",
            rail=front == "rail",
            bars=tree and width >= TWO,
            peek=tree and width < TWO and height >= PEEK_HEIGHT,
        )
    wide = width >= ALL
    return Layout(tree=True, side=True, rail=wide, bars=wide)
