"""A screen from which a place in a file is opened in the user's editor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from textual.app import SuspendNotSupported

from coflux.tui.editor import Editor, NoEditor, Place, editor_of
from coflux.tui.screens.base import View

__all__ = ["EditingView"]


class EditingView(View):
    def edit(self, place: Place) -> None:
        """Open a place in the editor. One that draws on the terminal has it until it ends."""
        try:
            editor = editor_of(os.environ)
        except NoEditor as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        try:
            self._run(editor, place)
        except OSError as error:
            self.notify(f"{editor.words[0]}: {error.strerror}; see $VISUAL and $EDITOR", severity="error", markup=False)
        except SuspendNotSupported:
            self.notify("an editor in the terminal cannot be opened from here", severity="warning", markup=False)

    def edited(self) -> None:
        """The editor that had the terminal has ended."""

    def _run(self, editor: Editor, place: Place) -> None:
        command = editor.command(place)
        if not editor.in_terminal:
            self.run_worker(self._open_window(command), exit_on_error=False)
            self.notify(f"{place.file}:{place.line} in {editor.words[0]}", markup=False)
            return
        with self.app.suspend():
            # Ctrl-C is the editor's: one of ours would end the dashboard. A handler is not inherited, unlike SIG_IGN.
            before = signal.signal(signal.SIGINT, lambda number, frame: None)
            try:
                subprocess.run(command, check=False)
            finally:
                signal.signal(signal.SIGINT, before)
        self.refresh()
        self.edited()

    async def _open_window(self, command: list[str]) -> None:
        """Start an editor that has a window of its own, and tell of its failure."""
        quiet = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
        except OSError as error:
            self.notify(f"{command[0]}: {error.strerror}; see $VISUAL and $EDITOR", severity="error", markup=False)
            return
        if code := await process.wait():
            self.notify(f"{command[0]} ended with status {code}", severity="warning", markup=False)
