"""What clients change besides runs: workspaces, and what the cache may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from coflux.executor.core import events as ev
from coflux.executor.database import StoreError
from coflux.executor.requests import ChangeWorkspace, ClearCache, CreateWorkspace, Done, Notice
from coflux.executor.workspaces import UnknownWorkspace, WorkspaceRefused

if TYPE_CHECKING:
    from coflux.executor.server import Session
    from coflux.executor.supervisor import Supervisor

__all__ = ["Administration", "Refusal"]


class Refusal(Exception):
    """A request cannot be granted. `kind` decides the exit status."""

    def __init__(self, kind: Literal["usage", "not_found", "failed"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Administration:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def admit(self, session: Session, workspace: str) -> None:
        """Let work into a workspace, and say so if it does not start there now. Raises `Refusal`."""
        try:
            row = self._supervisor.store.workspaces.unarchived(workspace)
        except StoreError as error:
            raise _refusal(error, workspace) from None
        if row.state == "paused":
            remedy = f"`coflux workspaces resume {workspace}` lets it"
            session.send(Notice("warning", f"workspace {workspace} is paused, so nothing starts there: {remedy}"))

    def pause_paused(self) -> None:
        """Tell the scheduler which workspaces are paused: it has just been made."""
        for row in self._supervisor.store.workspaces.all():
            if row.state == "paused":
                self._supervisor.happen(ev.WorkspaceChanged(row.name, True))

    def create(self, session: Session, message: CreateWorkspace) -> None:
        try:
            self._supervisor.store.workspaces.create(message.name, message.base, self._supervisor.wall())
        except StoreError as error:
            refusal = _refusal(error, message.base or message.name)
            session.fail(message.request, refusal.kind, str(refusal))
            return
        based = f" with the base {message.base}" if message.base is not None else ""
        session.send(Done(message.request, f"created workspace {message.name}{based}"))

    def change(self, session: Session, message: ChangeWorkspace) -> None:
        name = message.name
        try:
            self._supervisor.store.workspaces.change(name, message.change)
        except StoreError as error:
            refusal = _refusal(error, name)
            session.fail(message.request, refusal.kind, str(refusal))
            return
        self._supervisor.happen(ev.WorkspaceChanged(name, message.change == "pause"))
        match message.change:
            case "pause":
                text = f"paused workspace {name}: what runs there goes on, nothing else starts"
            case "resume":
                text = f"resumed workspace {name}"
            case "archive":
                cancelled = self._cancel_all(name)
                text = f"archived workspace {name}" + (f"; cancelled {cancelled} unfinished steps" if cancelled else "")
        self._supervisor.after_commit(lambda: session.send(Done(message.request, text)))

    def _cancel_all(self, workspace: str) -> int:
        """Cancel what is unfinished in a workspace, re-runs of other workspaces' steps included; return how much."""
        families = list(self._supervisor.scheduler.families.values())
        unfinished = [
            execution
            for family in families
            for execution in family.executions.values()
            if execution.unfinished and execution.workspace == workspace
        ]
        for execution in unfinished:
            if execution.unfinished:  # unless it went with one before
                self._supervisor.happen(ev.CancelRequested(execution.id, False))
        return len(unfinished)

    def clear_cache(self, session: Session, message: ClearCache) -> None:
        target = message.target or None
        try:
            forgotten = self._supervisor.store.clear_cache(message.workspace, target)
        except StoreError as error:
            refusal = _refusal(error, message.workspace)
            session.fail(message.request, refusal.kind, str(refusal))
            return
        results = "1 result" if forgotten == 1 else f"{forgotten} results"
        of_target = f" of {target}" if target else ""
        text = f"forgot {results}{of_target} in workspace {message.workspace}; they stay with their runs"
        if not forgotten:
            text = f"the cache has no results{of_target} in workspace {message.workspace}"
        session.send(Done(message.request, text))


def _refusal(error: StoreError, workspace: str) -> Refusal:
    """What to say, and how to get on."""
    if isinstance(error, UnknownWorkspace):
        return Refusal("usage", f"{error} (`coflux workspaces create {workspace}` creates it)")
    return Refusal("usage" if isinstance(error, WorkspaceRefused) else "failed", str(error))
