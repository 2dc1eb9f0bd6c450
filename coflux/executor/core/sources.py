"""Where results for the cache come from, as far as the store does not know of them yet."""

from __future__ import annotations

from coflux.executor.core.state import Execution, State, Step

__all__ = ["Sources"]


class Sources:
    """The executions with a cache key that are ready or running, or have ended since the last commit.

    What waits is not among them: a thousand that are linked to one source are no burden to the next that looks for it.
    """

    def __init__(self) -> None:
        self._by_key: dict[bytes, dict[Execution, None]] = {}
        self._ended: list[Execution] = []

    def add(self, execution: Execution) -> None:
        """Take in what is ready, if it has a key."""
        key = execution.step.cache_key
        if key is not None:
            self._by_key.setdefault(key, {})[execution] = None

    def ended(self, execution: Execution) -> None:
        if execution.step.cache_key is not None:
            self._ended.append(execution)

    def committed(self) -> None:
        """The store knows of everything that has ended."""
        for execution in self._ended:
            key = execution.step.cache_key
            known = self._by_key.get(key) if key is not None else None
            if known is not None and key is not None:
                known.pop(execution, None)
                if not known:
                    del self._by_key[key]
        self._ended.clear()

    def newest(self, step: Step, workspaces: tuple[str, ...], since: float) -> Execution | None:
        """The newest execution of another step with the same key that may be used: it runs or is about to, whatever the
        age, or it has succeeded at or after `since` on the wall clock."""
        assert step.cache_key is not None
        newest: Execution | None = None
        for execution in self._by_key.get(step.cache_key, ()):
            if execution.step is step or execution.workspace not in workspaces:
                continue
            if newest is not None and execution.sequence < newest.sequence:
                continue
            if _is_under_way(execution) or _succeeded_since(execution, since):
                newest = execution
        return newest


def _is_under_way(execution: Execution) -> bool:
    if execution.state is State.RUNNING:
        return execution.suspension is None
    return execution.ready or (execution.state is State.QUEUED and execution.worker is not None)


def _succeeded_since(execution: Execution, since: float) -> bool:
    return execution.state is State.SUCCEEDED and execution.finished_at is not None and execution.finished_at >= since
