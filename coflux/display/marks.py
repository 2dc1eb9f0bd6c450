"""How states look: a mark of one cell, its twin in ASCII, and a style."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GROUP", "MARKS", "MORE", "SHARED", "Mark"]

GROUP = "group"
MORE = "more"  # a line that stands for several
SHARED = "shared"  # a handle that is elsewhere, too


class Mark(NamedTuple):
    unicode: str
    ascii: str
    style: str  # of rich


MARKS = {
    "queued": Mark("○", ".", "dim"),
    "running": Mark("►", ">", "cyan"),
    "succeeded": Mark("✓", "+", "green"),
    "failed": Mark("✗", "x", "red bold"),
    "timed_out": Mark("✗", "T", "red bold"),
    "abandoned": Mark("!", "!", "red bold"),
    "cancelled": Mark("⊘", "/", "yellow"),
    "cached": Mark("≡", "c", "green"),
    "deferred": Mark("◷", "d", "dim"),
    "spawned": Mark("→", "^", "blue"),
    "suspended": Mark("‖", "=", "dim"),
    "recurred": Mark("∞", "@", "green"),
    GROUP: Mark("▾", "-", "bold"),
    SHARED: Mark("↺", "*", "dim"),
    MORE: Mark("…", "~", "dim"),
}
