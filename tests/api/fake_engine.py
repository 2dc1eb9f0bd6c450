"""A backend that records what the API asks of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn

from coflux.failures import NoBlobs
from coflux.handles import Execution
from coflux.metrics import Metric
from coflux.suspension import Suspending, wait_limit
from coflux.target import Target
from coflux.values import BlobStore

PENDING = object()


class FakeEngine:
    """Answers from `outcomes`, by submission number: a value, an exception, or `PENDING` (the default)."""

    def __init__(self, execution: str = "R1:1:1") -> None:
        self.execution = execution
        self.submissions: list[tuple[Target[..., Any], tuple[object, ...], int | None]] = []
        self.outcomes: dict[int, object] = {}
        self.ids: dict[int, str] = {}
        self.identified: list[int] = []
        self.polled: list[float | None] = []
        self.limits: list[float | None] = []  # of the waits that `suspense` has a say in
        self.suspensions: list[tuple[float, float | None]] = []
        self.cancelled: list[Execution[Any]] = []
        self.groups: list[tuple[str | None, int | None]] = []
        self.secrets: list[str] = []
        self.metrics: list[Metric] = []
        self.points: list[tuple[str, float, float | None]] = []
        self.entries: list[tuple[int, str | None, dict[str, object]]] = []
        self.store: BlobStore = NoBlobs()
        self.stored: list[int] = []
        self.assets: list[tuple[str, str | None, int, int, set[str]]] = []

    def submit(self, target: Target[..., Any], arguments: Sequence[object], group: int | None) -> Execution[Any]:
        self.submissions.append((target, tuple(arguments), group))
        return Execution(module=target.module, target=target.name, number=len(self.submissions))

    def identify(self, handle: Execution[Any]) -> str:
        number = handle.number
        assert number is not None
        self.identified.append(number)
        return self.ids.get(number, f"R1:{number + 1}:1")

    def result(self, handle: Execution[Any]) -> Any:
        self.limits.append(wait_limit())
        return self._outcome(handle)

    def _outcome(self, handle: Execution[Any]) -> Any:
        assert handle.number is not None
        outcome = self.outcomes.get(handle.number, PENDING)
        assert outcome is not PENDING, "nothing here would ever answer"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def result_async(self, handle: Execution[Any]) -> Any:
        return self.result(handle)

    def poll(self, handle: Execution[Any], timeout: float | None, default: Any) -> Any:
        assert handle.number is not None
        self.polled.append(timeout)
        return default if self.outcomes.get(handle.number, PENDING) is PENDING else self._outcome(handle)

    def select(self, handles: Sequence[Execution[Any]]) -> int:
        self.limits.append(wait_limit())
        numbers = [handle.number for handle in handles]
        return next(index for index, number in enumerate(numbers) if number in self.outcomes)

    def suspend(self, delay: float, until: float | None) -> NoReturn:
        self.suspensions.append((delay, until))
        raise Suspending

    def cancel(self, handles: Sequence[Execution[Any]]) -> None:
        self.cancelled.extend(handles)

    def open_group(self, name: str | None, parent: int | None) -> int:
        self.groups.append((name, parent))
        return len(self.groups) - 1

    def log(self, level: int, template: str | None, values: dict[str, object]) -> None:
        self.entries.append((level, template, values))

    def keep_secret(self, value: str) -> str:
        self.secrets.append(value)
        return f"secret{self.secrets.index(value)}"

    def hide(self, value: str) -> None:
        self.keep_secret(value)

    def record_metric(self, metric: Metric, value: float, at: float | None) -> None:
        self.metrics.append(metric)
        self.points.append((metric.key, value, at))

    def blobs(self) -> BlobStore:
        return self.store

    def keep_asset(self, asset: str, name: str | None, files: int, size: int, blobs: Sequence[str]) -> None:
        self.assets.append((asset, name, files, size, set(blobs)))

    def file_stored(self, status: os.stat_result) -> None:
        self.stored.append(status.st_ino)

    def execution_id(self) -> str:
        return self.execution

    def project_dir(self) -> str:
        return "/the/project"
