"""Workspaces: what runs, results and keys belong to. One with a base also sees what is in its base and above."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

from coflux.executor.database import Database, StoreError
from coflux.executor.reading import workspaces_in
from coflux.executor.rows import DEFAULT_WORKSPACE, WorkspaceRow, WorkspaceState

__all__ = ["UnknownWorkspace", "WorkspaceRefused", "Workspaces", "lineage_of"]

_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_STATES: dict[str, WorkspaceState] = {"pause": "paused", "resume": "active", "archive": "archived"}


class UnknownWorkspace(StoreError):
    """There is no workspace of this name."""


class WorkspaceRefused(StoreError):
    """A workspace cannot be what it was asked to be."""


class Workspaces:
    """The workspaces of a store, for its one writer. Its changes raise what `Store.commit` raises, too."""

    def __init__(self, database: Database, transaction: Callable[[Database], AbstractContextManager[None]]) -> None:
        self._database = database
        self._transaction = transaction
        self._lineages: dict[str, tuple[str, ...]] = {}

    # -- looking up ---------------------------------------------------------------------------------------------------

    def all(self) -> list[WorkspaceRow]:
        """Return all workspaces by name, archived ones as well."""
        return workspaces_in(self._database)

    def get(self, name: str) -> WorkspaceRow:
        """Return a workspace.

        Raises:
            UnknownWorkspace: there is none of this name; the message has the nearest ones.
        """
        known = {row.name: row for row in self.all()}
        if name in known:
            return known[name]
        import difflib

        nearest = difflib.get_close_matches(name, known)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {', '.join(known)}"
        raise UnknownWorkspace(f"there is no workspace {name!r}: {hint}")

    def unarchived(self, name: str) -> WorkspaceRow:
        """Return a workspace that takes work.

        Raises:
            UnknownWorkspace: as `get`.
            WorkspaceRefused: it is archived.
        """
        row = self.get(name)
        if row.state == "archived":
            raise WorkspaceRefused(f"workspace {name} is archived: `coflux workspaces create {name}` takes it up again")
        return row

    def lineage(self, name: str) -> tuple[str, ...]:
        """Return the name of a workspace and those of its ancestors, nearest first."""
        lineage = self._lineages.get(name)
        if lineage is None:
            lineage = self._lineages[name] = lineage_of(self.all(), name)
        return lineage

    # -- changing -----------------------------------------------------------------------------------------------------

    def create(self, name: str, base: str | None, created_at: float) -> None:
        """Add a workspace. One that was archived is taken up again, with all that belongs to it and this base.

        No cycle can come about: whatever `base` is based on is not archived, and `name` is, if it is there at all.

        Raises:
            UnknownWorkspace: there is no workspace `base`.
            WorkspaceRefused: the name is malformed or taken, or `base` is archived or `name` itself.
        """
        if not _NAME.fullmatch(name):
            raise WorkspaceRefused(
                f"{name!r} cannot be the name of a workspace: letters, digits, _ and -, in segments separated by /"
            )
        if base == name:
            raise WorkspaceRefused(f"workspace {name} cannot be based on itself")
        if any(row.name == name and row.state != "archived" for row in self.all()):
            raise WorkspaceRefused(f"there is a workspace {name} already")
        if base is not None:
            self.unarchived(base)
        self._put(WorkspaceRow(name, base, "active", created_at))

    def change(self, name: str, change: Literal["pause", "resume", "archive"]) -> None:
        """Pause, resume or archive a workspace. What is in that state already stays so.

        Raises:
            UnknownWorkspace: as `get`.
            WorkspaceRefused: it is archived already; or it cannot be archived, being the default or another's base.
        """
        row = self.unarchived(name)
        if change == "archive":
            self._check_archivable(name)
        self._put(WorkspaceRow(name, row.base, _STATES[change], row.created_at))

    def _check_archivable(self, name: str) -> None:
        if name == DEFAULT_WORKSPACE:
            raise WorkspaceRefused(f"workspace {name} cannot be archived: it is where runs go that name no other")
        children = [row.name for row in self.all() if row.base == name and row.state != "archived"]
        if children:
            raise WorkspaceRefused(
                f"workspace {name} cannot be archived while others are based on it: archive {', '.join(children)} first"
            )

    def _put(self, row: WorkspaceRow) -> None:
        self._lineages.clear()
        columns = (row.name, row.base, row.state, row.created_at)
        with self._transaction(self._database):
            self._database.run("INSERT OR REPLACE INTO workspaces VALUES (?, ?, ?, ?)", columns)


def lineage_of(rows: list[WorkspaceRow], name: str) -> tuple[str, ...]:
    """The name of a workspace and those of its ancestors, nearest first."""
    bases = {row.name: row.base for row in rows}
    found = [name]
    while (base := bases.get(found[-1])) is not None and base not in found:
        found.append(base)
    return tuple(found)
