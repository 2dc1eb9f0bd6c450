"""A screen of up to three parts: how many are seen depends on its size, and one of them has the keys."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from coflux.tui.run_layout import ALL, Layout, Part, layout_of
from coflux.tui.screens.base import View

__all__ = ["PartsScreen"]


class PartsScreen(View):
    """
    Attributes:
        layout_now: what is seen.
        front: the part that has the keys.
        zoomed: it has the whole screen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "other_pane(1)", "pane", show=False, id="run.pane", priority=True),
        Binding("shift+tab", "other_pane(-1)", "previous pane", show=False, id="run.previous_pane", priority=True),
        Binding("z", "zoom", "zoom", show=False, id="run.zoom"),
    ]

    layout_now = Layout()
    front: Part = "tree"
    zoomed = False

    # -- what a screen says of itself -------------------------------------------------------------------------------

    def box_of(self, part: Part) -> Widget:
        """The widget that a part is."""
        raise NotImplementedError

    def body_of(self, part: Part) -> Widget:
        """The widget in it that has the keys."""
        raise NotImplementedError

    def show_parts(self, layout: Layout) -> None:
        """Show what is to be seen."""
        raise NotImplementedError

    @property
    def is_typing(self) -> bool:
        """Whether something is typed that the keys are for, whatever part is in front."""
        raise NotImplementedError

    def part_brought(self) -> None:
        """Another part has the keys, or is seen."""

    # -- the parts ---------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        if self.ready:
            focused = self.focused
            self.bring(self.front)
            if focused is not None and self.box_of(self.front) in focused.ancestors_with_self:
                self.set_focus(focused)  # what it was in that part

    def bring(self, part: Part) -> None:
        """Give a part the keys, and the screen where there is room for one only."""
        self.front = part if part != "rail" or self.size.width >= ALL else "tree"
        self.layout_now = layout_of(self.size.width, self.size.height, self.front, zoomed=self.zoomed)
        self.set_class(not self.layout_now.parts, "-tiny")
        self.show_parts(self.layout_now)
        if not self.is_typing:
            self.set_focus(self.body_of(self.front))
        self.part_brought()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A part may have been clicked."""
        for part in self.layout_now.parts:
            if part != self.front and self.box_of(part) in event.widget.ancestors_with_self:
                self.front = part
                self.part_brought()

    def action_other_pane(self, by: int) -> None:
        parts: list[Part] = ["tree", "side"]
        if self.size.width >= ALL:
            parts.append("rail")
        self.bring(parts[(parts.index(self.front) + by) % len(parts)])

    def action_zoom(self) -> None:
        """Give the part that has the keys the whole screen, or no longer."""
        self.zoomed = not self.zoomed
        self.bring(self.front)
