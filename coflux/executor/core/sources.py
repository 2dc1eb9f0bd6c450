"""Where results for the cache come from, as far as the store does not know of them yet."""

from __future__ import annotations

from coflux.executor.core.state import Execution, State, Step

__all__ = ["Sources"]


class Sources:
    """The executions with a cache key that are unfinished, or have ended since the last commit."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, list[Execution]] = {}  # in the order of their creation
        self._ended: list[Execution] = []

    def add(self, execution: Execution) -> None:
        """Take in an unfinished execution, if it has a key and will have a result of its own."""
        key = execution.step.cache_key
        if key is not None and not execution.step.spawns:
            self._by_key.setdefault(key, []).append(execution)

    def ended(self, execution: Execution) -> None:
        if execution.step.cache_key is not None:
            self._ended.append(execution)

    def committed(self) -> None:
        """The store knows of everything that has ended."""
        for execution in self._ended:
            key = execution.step.cache_key
            known = self._by_key.get(key, []) if key is not None else []
            if execution in known:
                known.remove(execution)
            if key is not None and not known:
                self._by_key.pop(key, None)
        self._ended.clear()

    def newest(self, step: Step, workspaces: tuple[str, ...], since: float) -> Execution | None:
        """The newest execution of another step with the same key that may be used: it runs or is about to, whatever the
        age, or it has succeeded at or after `since` on the wall clock."""
        assert step.cache_key is not None
        for execution in reversed(self._by_key.get(step.cache_key, [])):
            if execution.step is step or execution.workspace not in workspaces:
                continue
            if _is_under_way(execution) or _succeeded_since(execution, since):
                return execution
        return None


def _is_under_way(execution: Execution) -> bool:
    if execution.state is State.RUNNING:
        return execution.suspension is None
    return execution.ready or (execution.state is State.QUEUED and execution.worker is not None)


def _succeeded_since(execution: Execution, since: float) -> bool:
    return execution.state is State.SUCCEEDED and execution.finished_at is not None and execution.finished_at >= since
