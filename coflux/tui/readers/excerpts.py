"""The source lines around those that a traceback names, as they are in the files now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from coflux.encoded import Frame
from coflux.tui.updates import Excerpt

__all__ = ["AROUND", "excerpts"]

AROUND = 2  # lines on either side
LARGEST = 4 << 20  # bytes of a file that is read
FRAMES = 200  # that are looked up


def excerpts(frames: Iterable[Frame], executed_at: float) -> dict[tuple[str, int], Excerpt]:
    """What is around the lines of these frames, which were executed at `executed_at`, in seconds since the epoch."""
    files: dict[str, tuple[list[str], float]] = {}
    found: dict[tuple[str, int], Excerpt] = {}
    for frame in frames:
        place = frame.file, frame.line
        if place in found or not os.path.isabs(frame.file):
            continue
        if len(found) == FRAMES:
            break
        if frame.file not in files:
            files[frame.file] = _read(frame.file)
        lines, written_at = files[frame.file]
        found[place] = _around(frame, lines, changed=written_at > executed_at)
    return found


def _around(frame: Frame, lines: list[str], *, changed: bool) -> Excerpt:
    is_there = 0 < frame.line <= len(lines)
    if not is_there or (frame.source and lines[frame.line - 1].strip() != frame.source.partition("\n")[0].strip()):
        return Excerpt(frame.line, (), True)
    first = max(frame.line - AROUND, 1)
    return Excerpt(first, tuple(lines[first - 1 : frame.line + AROUND]), changed)


def _read(path: str) -> tuple[list[str], float]:
    """The lines of a file, and when it was written; no lines if it cannot be read."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return [], 0.0
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n"), status.st_mtime
    except OSError:
        return [], 0.0
