"""The list of assets and their files, and what is to be seen of one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from coflux.tui.assets import AssetsState, FileRow
from coflux.tui.file_lines import paint_file_row, paint_shades, preview_lines
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.previews import Picture, Preview
from coflux.tui.updates import AssetListed
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.text_view import TextView

__all__ = ["FilesView", "PreviewView"]


class FilesView(LineView):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "fold(True)", "unfold", show=False, id="files.open"),
        Binding("left,h", "fold(False)", "fold", show=False, id="files.close"),
        Binding("space", "fold(None)", "fold", show=False, id="files.toggle"),
        Binding("d", "download", "download", id="files.download"),
    ]

    class Download(LineView.Moved):
        """What is under the cursor is to be written to the disk."""

    def __init__(self, state: AssetsState, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._state = state
        self._glyphs = glyphs
        self._makers: Callable[[AssetListed], str] = lambda asset: asset.execution
        self.empty = ""

    @property
    def row(self) -> FileRow | None:
        """The one under the cursor."""
        rows = self._state.rows
        return rows[self.cursor] if 0 <= self.cursor < len(rows) else None

    def show(self, makers: Callable[[AssetListed], str], empty: str) -> None:
        """Draw what has changed; `makers` says what made an asset, `empty` is said where there is none."""
        self._makers = makers
        before = self.row
        if self._state.layout() or empty != self.empty:
            self.empty = empty
            if before is not None:
                lines = {row.key: line for line, row in enumerate(self._state.rows)}
                self.cursor = lines.get(before.key, self.cursor)
            self.lines_changed()
            self.refresh(layout=True)

    def count(self) -> int:
        return len(self._state.rows) or 1

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self.count()

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        if not self._state.rows:
            return [(f"  {self.empty}", "dim")]
        row = self._state.rows[index]
        return paint_file_row(self._state, row, self._makers(row.asset), width, self._glyphs)

    def action_fold(self, to: bool | None) -> None:
        row = self.row
        if row is None:
            return
        if to is False and (not row.folds or not self._state.is_open(row)):
            above = (one for one in range(self.cursor, -1, -1) if self._state.rows[one].depth < row.depth)
            self.go(next(above, self.cursor))
            return
        self._state.toggle(row, to)
        self.show(self._makers, self.empty)
        self.post_message(self.Moved(self))

    def action_choose(self) -> None:
        row = self.row
        if row is not None and row.folds:
            self.action_fold(None)
        elif row is not None:
            super().action_choose()

    def action_download(self) -> None:
        if self.row is not None:
            self.post_message(self.Download(self))


class PreviewView(TextView):
    """What is to be seen of a file: lines, or a picture in half blocks."""

    def __init__(self, glyphs: Glyphs, *, most: int | None = None, id: str | None = None) -> None:  # noqa: A002
        """With `most`, no more than so many lines of text are shown, and there is no cursor."""
        super().__init__(id=id)
        self.can_focus = most is None
        self._glyphs = glyphs
        self._most = most
        self._picture: Picture | None = None
        self._preview: Preview | None = None

    def load(self, preview: Preview | None) -> None:
        if preview is self._preview:
            return
        self._preview = preview
        self._picture = preview if isinstance(preview, Picture) and self._has_colors else None
        self.first = self.cursor = 0
        self.show(self._written)
        self.lines_changed()

    def _written(self, width: int) -> list[Sequence[Piece]]:
        preview = self._preview
        if preview is None:
            return []
        if isinstance(preview, Picture):
            return [[(line, "")] for line in paint_shades(preview.image, self._glyphs.unicode)]
        return list(preview_lines(preview, width, self._glyphs, self._most))

    def _clamp(self) -> None:
        super()._clamp()
        if not self.can_focus:
            self.cursor = -1

    @on(events.MouseScrollDown)
    @on(events.MouseScrollUp)
    def turn_wheel(self, event: events.MouseEvent) -> None:
        """Without a cursor that would move, the wheel moves the lines."""
        if not self.can_focus:
            event.prevent_default()
            event.stop()
            self.first += 3 if isinstance(event, events.MouseScrollDown) else -3
            self.cursor = max(self.first, 0)
            self._clamp()
            self.refresh()

    @property
    def _has_colors(self) -> bool:
        return self._glyphs.unicode and not self.app.no_color

    def render_line(self, y: int) -> Strip:
        picture, row = self._picture, 2 * (self.first + y)
        if picture is None:
            return super().render_line(y)
        image, width = picture.image, self.size.width
        if row >= image.height:
            return Strip.blank(width, self.rich_style)
        segments = []
        for column in range(image.width):
            above = _color(image.rgb, row * image.width + column)
            under = _color(image.rgb, (row + 1) * image.width + column) if row + 1 < image.height else None
            segments.append(Segment("▀", Style(color=above, bgcolor=under)))
        return Strip(segments).adjust_cell_length(width, self.rich_style).simplify()


def _color(rgb: bytes, pixel: int) -> Color:
    return Color.from_rgb(*rgb[3 * pixel : 3 * pixel + 3])
