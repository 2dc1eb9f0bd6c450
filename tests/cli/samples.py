"""Runs for tests, written to a real store without an engine."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from coflux.assets import Asset
from coflux.cli.terminal import Output, Terminal
from coflux.executor.messages import Failed, Outcome, RunOptions, Succeeded, TargetSpec, Terminated
from coflux.executor.rows import (
    AssetRow,
    Batch,
    ExecutionRow,
    GroupRow,
    LogRow,
    MetricRow,
    PointsRow,
    RunRow,
    SharedRow,
    Status,
    StepRow,
)
from coflux.executor.store import Store
from coflux.failures import Failure
from coflux.logs import Level
from coflux.metrics import Metric
from coflux.task_options import TaskOptions
from coflux.values import Value

Command = Callable[..., tuple[int, str, str]]
"""Takes the words of a command line; returns status, standard output and standard error."""

STARTED_AT = 1_700_000_000.0  # seconds since the epoch
PLAIN = Terminal(live=False, color=False, unicode=True, width=80, height=24)

_OPTIONS = msgspec.msgpack.encode(RunOptions())

FAILURE = Failed(
    Failure("builtins.ValueError", "no\x1b[2J", "Traceback (most recent call last):\nValueError: no\x1b[2J")
)
TIMEOUT = Terminated("timed_out", "no outcome after 2 s")


def succeeded(json: str) -> Succeeded:
    return Succeeded(Value("json", json.encode(), len(json)))


class Recorder:
    """Plays the engine's part: writes what a run does, step by step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch = Batch()

    def workspace(self, name: str, base: str | None = None) -> None:
        self._store.workspaces.create(name, base, STARTED_AT)

    def commit(self) -> None:
        self._store.commit(self._batch)
        self._batch = Batch()

    def run(
        self,
        status: Status = "running",
        *,
        run: str = "Rbcd",
        parent: str | None = None,
        settled: bool = False,
        workspace: str = "default",
    ) -> None:
        row = RunRow(
            run, workspace, "app.flows", "nightly", "workflow", parent, "Rbcd", 1, None, _OPTIONS, status, STARTED_AT,
            STARTED_AT, STARTED_AT + 2 if settled else None, 0, settled,
        )  # fmt: skip
        self._batch.runs.append(row)

    def step(
        self,
        number: int,
        name: str,
        *arguments: str,
        parameters: Sequence[str] = ("x", "y"),
        run: str = "Rbcd",
        parent: int = 1,
        group: int | None = None,
    ) -> None:
        spec = TargetSpec("app.flows", name, "task", tuple(parameters)[: len(arguments)], TaskOptions())
        values = tuple(Value("json", argument.encode(), len(argument)) for argument in arguments)
        submitter = None if number == 1 else f"{run}:{parent}:1"
        encode = msgspec.msgpack.encode
        self._batch.steps.append(
            StepRow(
                run, number, submitter, group, "app.flows", name, "task", encode(spec), encode(values), 0, STARTED_AT
            )
        )

    def execution(
        self,
        step: int,
        status: Status,
        outcome: Outcome | None = None,
        *,
        run: str = "Rbcd",
        attempt: int = 1,
        following: str | None = None,
        reason: str = "",
    ) -> None:
        finished_at = None if status in ("queued", "running") else STARTED_AT + 1 + step
        encoded = msgspec.msgpack.encode(outcome) if outcome is not None else None
        self._batch.executions.append(
            ExecutionRow(
                run,
                step,
                attempt,
                status,
                reason,
                following,
                STARTED_AT,
                None,
                STARTED_AT + 1,
                finished_at,
                outcome=encoded,
            )
        )

    def asset(self, step: int, asset: Asset, *, attempt: int = 1) -> None:
        name, files, size = asset.metadata
        self._batch.assets.append(
            AssetRow("Rbcd", step, attempt, asset.id, name, files, size, STARTED_AT + len(self._batch.assets))
        )

    def shared(self, number: int, child: str, *, step: int = 1, attempt: int = 1, group: int | None = None) -> None:
        self._batch.shared.append(SharedRow("Rbcd", step, attempt, number, child, group))

    def group(self, number: int, name: str | None, *, step: int = 1) -> None:
        self._batch.groups.append(GroupRow("Rbcd", step, 1, number, name, None))

    def log(
        self,
        step: int,
        level: Level,
        template: str,
        at: float = 1.5,
        values: bytes | None = None,
        *,
        run: str = "Rbcd",
        logger: str | None = None,
        bar: int | None = None,
        live: bool = False,
    ) -> None:
        row = LogRow(run, step, 1, STARTED_AT + at, level, template, values, logger, bar, live)
        self._batch.logs.append(row)

    def metric(
        self,
        step: int,
        number: int,
        metric: Metric,
        values: Sequence[float],
        at: Sequence[float] = (),
        attempt: int = 1,
    ) -> None:
        """A metric with points, at 0.5, 1.5, … if nothing else is said."""
        at = at or [0.5 + index for index in range(len(values))]
        encode = msgspec.json.encode
        group, scale = (None if axis is None else encode(axis) for axis in (metric.group, metric.scale))
        self._batch.metrics.append(MetricRow("Rbcd", step, attempt, number, metric.key, group, scale))
        points = (array("d", numbers).tobytes() for numbers in (at, values))
        self._batch.points.append(PointsRow("Rbcd", step, attempt, number, 0, len(values), *points))


@contextmanager
def recording(data_dir: Path) -> Iterator[Recorder]:
    store = Store.open(str(data_dir))
    try:
        yield Recorder(store)
    finally:
        store.close()


class Captured:
    """An output to a file, and what is in the file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.output = Output(self._file.fileno(), "utf-8")

    @property
    def text(self) -> str:
        self.output.push()
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0).decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def close(self) -> None:
        self._file.close()
