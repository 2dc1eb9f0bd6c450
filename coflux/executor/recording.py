"""What executions leave while they run (log entries, metrics, assets), as rows of the store."""

from __future__ import annotations

import struct
from typing import assert_never

import msgspec

from coflux.executor import log_values
from coflux.executor.core.handles import ids_of
from coflux.executor.core.state import Execution
from coflux.executor.messages import DefineMetric, HoldPoint, KeepAsset, Log, RecordPoints
from coflux.executor.rows import AssetRow, Batch, LogRow, MetricRow, PointsRow

__all__ = ["HeldPoints", "Recorded", "record"]

Recorded = Log | DefineMetric | RecordPoints | KeepAsset

FLOAT_SIZE = 8  # bytes


def record(batch: Batch, execution: Execution, message: Recorded, wall: float) -> None:
    """Add the row of a message from an execution to `batch`; `wall` is now, in seconds since the epoch."""
    step = execution.step
    attempt = step.run.id, step.number, execution.attempt
    match message:
        case Log(at=at, level=level, template=template, values=values, references=references, logger=logger):
            if references:
                values = log_values.with_ids(values, ids_of(references, execution))
            batch.logs.append(LogRow(*attempt, at, level, template, values or None, logger))
        case DefineMetric(number, key, group, scale):
            batch.metrics.append(MetricRow(*attempt, number, key, _json(group), _json(scale)))
        case RecordPoints(metric, first, at, values):
            batch.points.append(PointsRow(*attempt, metric, first, len(values) // FLOAT_SIZE, at, values))
        case KeepAsset(asset, name, files, size):
            batch.assets.append(AssetRow(*attempt, asset, name, files, size, wall))
        case _:
            assert_never(message)


class HeldPoints:
    """Points that executions have told of and not recorded yet: they do so when their process does not live to."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int, int], dict[int, HoldPoint]] = {}  # by run, step and attempt, then metric

    def hold(self, execution: Execution, message: HoldPoint) -> None:
        step = execution.step
        self._of.setdefault((step.run.id, step.number, execution.attempt), {})[message.metric] = message

    def replace(self, execution: Execution, message: RecordPoints) -> None:
        """Forget the one that these points follow or include."""
        step = execution.step
        attempt = step.run.id, step.number, execution.attempt
        held = self._of.get(attempt)
        if held is not None and held.pop(message.metric, None) is not None and not held:
            del self._of[attempt]

    def record_all(self, batch: Batch) -> None:
        for attempt in list(self._of):
            self.record(batch, attempt)

    def record(self, batch: Batch, attempt: tuple[str, int, int]) -> None:
        """Add to `batch` what is held of an attempt that ends."""
        for point in self._of.pop(attempt, {}).values():
            at, value = _packed(point.at), _packed(point.value)
            batch.points.append(PointsRow(*attempt, point.metric, point.first, 1, at, value))


def _packed(number: float) -> bytes:
    return struct.pack("<d", number)


def _json(axis: object) -> bytes | None:
    return None if axis is None else msgspec.json.encode(axis)
