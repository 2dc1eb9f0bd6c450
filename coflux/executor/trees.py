"""Files in directories that are going to be removed, and removing these."""

from __future__ import annotations

import os

__all__ = ["FileState", "file_state", "remove_tree"]

FileState = tuple[int, int, int, int]
"""What tells a file from others, and from itself after a change."""


def file_state(status: os.stat_result) -> FileState:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, as far as that can be done."""
    try:
        for parent, _, _ in os.walk(path, topdown=False):
            os.rmdir(parent)
    except OSError:  # more than empty directories, which is rare, and `shutil` takes 10 ms to import
        if os.path.isdir(path):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
