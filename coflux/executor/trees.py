"""Removing directories."""

from __future__ import annotations

import os

__all__ = ["remove_tree"]


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, as far as that can be done."""
    try:
        for parent, _, _ in os.walk(path, topdown=False):
            os.rmdir(parent)
    except OSError:  # more than empty directories, which is rare, and `shutil` takes 10 ms to import
        if os.path.isdir(path):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
