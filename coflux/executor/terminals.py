"""What merely describes a client's terminal (§12.1).

It is no reason to run code in other processes, so clients that differ in nothing else share them. Imports see none of
it; workers are given it after the fork, each time that they are to run something for another client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coflux.executor.core.state import Family

__all__ = ["Terminals", "describes_terminal", "relevant"]

SPARE = 64  # contexts without an unfinished run that may be kept

_NAMES = frozenset(
    {"PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES", "TMUX", "TMUX_PANE", "STY", "WINDOW", "WINDOWID", "TTY"}
)
_PREFIXES = ("TERM", "SSH_", "COLORTERM", "VTE_", "ITERM_", "KITTY_", "WEZTERM_", "ALACRITTY_", "XDG_SESSION")


def describes_terminal(name: str) -> bool:
    """Whether an environment variable says nothing but what the terminal is like."""
    return name in _NAMES or name.startswith(_PREFIXES)


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what merely describes a terminal."""
    return {name: value for name, value in environment.items() if not describes_terminal(name)}


class Terminals:
    """The terminals of the clients that started the unfinished runs, by the id of their context in the store."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = families
        self._known: dict[int, dict[str, str]] = {}

    def remember(self, context_id: int, environment: Mapping[str, str]) -> None:
        if len(self._known) > 2 * len(self._families) + SPARE:
            needed = {family.root.context for family in self._families.values()}
            self._known = {known: variables for known, variables in self._known.items() if known in needed}
        self._known[context_id] = {name: value for name, value in environment.items() if describes_terminal(name)}

    def of(self, context_id: int) -> dict[str, str]:
        """The variables that describe the terminal of a context that has an unfinished run."""
        return self._known[context_id]
