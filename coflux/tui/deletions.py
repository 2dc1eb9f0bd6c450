"""Runs that are being deleted: what is said when all of them have been answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coflux.tui.updates import DeleteAsked, Deleted, Failed, Said

__all__ = ["Deletions"]

REASONS = 3  # refusals that are told in words


class Deletions:
    """What was asked for together is told together."""

    def __init__(self) -> None:
        self._left: set[str] = set()
        self._deleted: list[str] = []
        self._refused: list[str] = []

    def ask(self, runs: Sequence[str]) -> list[DeleteAsked]:
        """The requests that delete these runs, a request each."""
        self._left |= set(runs)
        return [DeleteAsked(run) for run in runs]

    def take(self, update: Deleted | Failed) -> Iterator[Said]:
        """Take note of an answer; after the last one, tell what has come of all."""
        match update:
            case Deleted(run):
                self._deleted.append(run)
                self._left.discard(run)
            case Failed(DeleteAsked(run), why):
                self._refused.append(f"{run}: {why}" if run not in why else why)
                self._left.discard(run)
        if self._left:
            return
        deleted, refused = self._deleted, self._refused
        self._deleted, self._refused = [], []
        if deleted:
            yield Said("info", f"{deleted[0]} is deleted" if len(deleted) == 1 else f"{len(deleted)} runs are deleted")
        if refused:
            more = f"; and {len(refused) - REASONS} more" if len(refused) > REASONS else ""
            yield Said("warning", "not deleted: " + "; ".join(refused[:REASONS]) + more)
