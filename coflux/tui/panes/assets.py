"""The assets of the step under the cursor and of those below it: their files, and a look into the one chosen."""

from __future__ import annotations

import re
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from coflux.tui.assets import AssetsState, FileKind, FileRow
from coflux.tui.file_lines import heading
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.panes.scoped import ScopedPane
from coflux.tui.previews import Picture
from coflux.tui.scope import Scope, steps_of
from coflux.tui.tree import Kind, Node
from coflux.tui.tree_rows import call_text
from coflux.tui.updates import AssetListed, AssetsAsked, EntriesAsked, PreviewAsked
from coflux.tui.widgets.file_views import FilesView, PreviewView
from coflux.tui.widgets.key_bar import Hint
from coflux.tui.widgets.line_view import LineView

__all__ = ["AssetsPane"]

LINES = 200  # of text, that are shown here
WIDE = 100  # cells from which on the list and the file are beside each other


class AssetsPane(ScopedPane):
    NAME = "files"
    TITLE = "Files"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "scope", "step and below, this step, whole run", id="files.scope"),
    ]

    def __init__(self, state: AssetsState, glyphs: Glyphs) -> None:
        super().__init__()
        self._state = state
        self._glyphs = glyphs
        self._list = FilesView(state, glyphs, id="file-list")
        self._head = Static(id="file-head", markup=False)
        self._preview = PreviewView(glyphs, most=LINES, id="file-preview")
        self._asked: tuple[object, ...] = ()
        self._previewed: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield self._list
        with Widget(id="file-content"):
            yield self._head
            yield self._preview

    @property
    def body(self) -> Widget:
        return self._list

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-beside")

    def leave(self) -> None:
        self._asked = ()
        self.dashboard.ask(AssetsAsked(self._state.number, ""))

    def flush(self) -> None:
        self._list.show(self._maker, "no files" if self._state.read else "")
        for asset in self._state.take_wanted():
            self.dashboard.ask(EntriesAsked(asset))
        self._look()

    def notes(self) -> list[Piece]:
        return [(f"{self._scope.value}  {len(self._state.assets):,}", "dim")]

    def hints(self) -> list[Hint]:
        return [("d", "download", "focused.download"), ("enter", "view", "focused.choose")]

    def line(self) -> str:
        """What is under the cursor, for the clipboard: a file's path, or an asset's id."""
        row = self._list.row
        return "" if row is None else row.path if row.kind is FileKind.FILE else row.asset.id

    # -- what is asked for -------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask when other assets are meant than before."""
        assert self._run is not None
        steps = steps_of(self._scope, self._node)
        asked = self._run, steps, "" if self._scope is Scope.RUN else _ended(self._node)
        if asked != self._asked:
            self._asked = asked
            self.dashboard.ask(AssetsAsked(self._state.open(), self._run.id, *asked[1:]))

    def _look(self) -> None:
        """Look into the file under the cursor."""
        row, size = self._list.row, self._preview.size
        file = row if row is not None and row.kind is FileKind.FILE else None
        previewed = () if file is None else (*file.key, size)
        if previewed != self._previewed and (file is None or size.width):
            resized = self._previewed[:2] == previewed[:2]
            self._previewed = previewed
            if file is None:
                self._state.next_preview()
            elif not resized or isinstance(self._state.preview, Picture):
                number = self._state.next_preview()
                self.dashboard.ask(PreviewAsked(number, *file.key, size.width, max(size.height, 1)))
        if file is None or self._state.preview is not None:
            self._preview.load(None if file is None else self._state.preview)
        self._head.update(Content.assemble(*heading(file, self._state.preview, self._preview.size.width, self._glyphs)))

    def _maker(self, asset: AssetListed) -> str:
        run, step, _ = asset.execution.split(":")
        node = None if self._run is None else self._run.tree.find(run, int(step))
        return asset.execution if node is None else call_text(node)

    # -- keys --------------------------------------------------------------------------------------------------------

    def on_line_view_moved(self, message: LineView.Moved) -> None:
        if message.view is self._list:
            self._look()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        message.stop()
        row = self._list.row
        if row is not None and row.kind is FileKind.FILE:
            self.dashboard.view_file(row)

    def on_files_view_download(self) -> None:
        row = self._list.row
        if row is not None and row.kind is not FileKind.NOTE:
            self.dashboard.download(row.asset.id, _one_file(row), row.name, _suggested(row))


def _one_file(row: FileRow) -> str | None:
    """The file that is meant; `None` for all of the asset."""
    return row.path if row.kind is FileKind.FILE else None


def _suggested(row: FileRow) -> str:
    """Where to: of an asset a directory with its name."""
    if row.kind is FileKind.FILE:
        return "."
    return "./" + (re.sub(r"[^\w.-]+", "-", row.asset.name or "").strip("-.") or row.asset.id[:12])


def _ended(node: Node | None) -> str:
    """The execution whose result may hold assets."""
    shown = None if node is None else node.shared or node
    if shown is None or shown.kind is not Kind.STEP or shown.execution is None or shown.execution.finished_at is None:
        return ""
    return shown.execution.id
