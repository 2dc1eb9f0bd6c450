"""A store as a long day would leave it: a run of 20,000 steps in 1,000 groups that goes on, one with a million log
lines. Written as the engine writes, without an engine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from itertools import count, islice

import msgspec

from coflux.encoded import Failure
from coflux.executor.messages import Failed
from coflux.executor.rows import Batch, ExecutionRow, GroupRow, LogRow, RunRow, StepRow, format_execution_id
from coflux.executor.store import Store
from coflux.logs import Level
from coflux.project import Project
from tests.store.factories import execution_row, json_value, log_row, run_row, step_row

__all__ = ["BIG", "GROUPS", "LOUD", "STEPS", "BigRun", "write_store"]

BIG, LOUD = "RBig2", "RLd33"  # the runs

GROUPS = 1_000
IN_GROUP = 20
STEPS = GROUPS * IN_GROUP
NESTED = 10  # every so many groups there is one whose steps call each other, 20 deep
RUNNING = 16  # steps at a time
DONE = 12_000  # steps that have ended when the dashboard comes
FAILING = 200  # every so many steps one fails
LINES_AT_ONCE = 20_000

_FAILED = msgspec.msgpack.encode(Failed(Failure("builtins.ConnectionError", "connection reset by peer", "")))


class BigRun:
    """The steps of the run, and what happens to them next."""

    def __init__(self, now: float) -> None:
        self._running: deque[tuple[int, int, float]] = deque()  # step, attempt, since when
        self._waiting = deque((number, 1) for number in range(2 + DONE + RUNNING, 2 + STEPS))
        self._began = now

    def beginning(self) -> Batch:
        """All there is when it begins to be watched."""
        now = self._began
        batch = Batch()
        began = now - 600
        flow = {"name": "process_everything", "module": "flow", "created_at": began}
        batch.runs.append(run_row(BIG, **flow, started_at=began, steps=STEPS + 1))
        batch.steps.append(step_row(BIG, 1, type="workflow", **flow))
        batch.executions.append(
            execution_row(BIG, 1, status="running", reason="", created_at=now - 600, started_at=now - 600)
        )
        batch.groups += [GroupRow(BIG, 1, 1, group, f"batch {group}", None) for group in range(GROUPS)]
        batch.steps += [_step(number, now) for number in range(2, 2 + STEPS)]
        for number in range(2, 2 + STEPS):
            if number < 2 + DONE:
                batch.executions.append(_ended(number, 1, now - 600 + number * 0.04, now - 598 + number * 0.04))
            elif number < 2 + DONE + RUNNING:
                self._running.append((number, 1, now))
                batch.executions.append(_started(number, 1, now))
            else:
                batch.executions.append(execution_row(BIG, number, created_at=now - 600))
        return batch

    def changes(self) -> Iterator[ExecutionRow]:
        """What happens, for ever: four times at the place that the run has got to, once where everybody looks."""
        onward, watched = self._onward(), self._watched()
        while True:
            yield from islice(onward, 4)
            yield next(watched)

    def _onward(self) -> Iterator[ExecutionRow]:
        """A step ends, the next one begins; after the last they are all tried again."""
        while True:
            now = time.time()
            number, attempt, since = self._running.popleft()
            yield _ended(number, attempt, since, now)
            if not self._waiting:
                self._waiting.extend((other, attempt + 1) for other in range(2 + 2 * IN_GROUP, 2 + STEPS))
            number, attempt = self._waiting.popleft()
            self._running.append((number, attempt, now))
            yield _started(number, attempt, now)

    @staticmethod
    def _watched() -> Iterator[ExecutionRow]:
        """The steps of the first two groups are tried again and again, all but their first ones, which go on: a group
        that has ended well would be folded."""
        first = (2, 2 + IN_GROUP)
        for number in first:
            yield _started(number, 2, time.time())
        others = [number for number in range(2, 2 + 2 * IN_GROUP) if number not in first]
        for attempt in count(2):
            for number in others:
                yield _started(number, attempt, time.time())
            for number in others:
                now = time.time()
                yield _ended(number, attempt, now - 1, now)


def _step(number: int, now: float) -> StepRow:
    group, place = divmod(number - 2, IN_GROUP)
    caller, depth = 1, 1
    if group % NESTED == 0 and place > 0:
        caller, depth = number - 1, place + 1
    return step_row(
        BIG,
        number,
        parent=format_execution_id(BIG, caller, 1),
        group=group if caller == 1 else None,
        module="flow",
        name="item",
        depth=depth,
        created_at=now - 600,
        values=(json_value(str(number)),),
    )


def _started(number: int, attempt: int, at: float) -> ExecutionRow:
    return execution_row(BIG, number, attempt, status="running", reason="", created_at=at, started_at=at)


def _ended(number: int, attempt: int, since: float, at: float) -> ExecutionRow:
    failed = number % FAILING == 0
    return execution_row(
        BIG,
        number,
        attempt,
        status="failed" if failed else "succeeded",
        reason="",
        outcome=_FAILED if failed else None,
        created_at=since,
        started_at=since,
        finished_at=at,
    )


def _loud_run(now: float) -> Batch:
    row: RunRow = run_row(
        LOUD, module="flow", name="loud", status="succeeded", created_at=now - 900, started_at=now - 900,
        finished_at=now - 100, steps=1, settled=True,
    )  # fmt: skip
    batch = Batch()
    batch.runs.append(row)
    batch.steps.append(step_row(LOUD, 1, name="loud", module="flow", type="workflow", created_at=now - 900))
    batch.executions.append(
        execution_row(LOUD, 1, status="succeeded", reason="", started_at=now - 900, finished_at=now - 100)
    )
    return batch


def _lines(lines: int, now: float) -> Iterator[LogRow]:
    """One in a thousand is a warning; one in ten has values."""
    for number in range(lines):
        at = now - 900 + number * 800 / lines
        if number % 1000 == 999:
            yield log_row(LOUD, at=at, level=Level.WARNING, template=f"line {number}: slow answer")
        elif number % 10 == 5:
            values = b'{"page":%d,"url":"https://example.org/"}' % number
            yield log_row(LOUD, at=at, level=Level.INFO, template="line {page}: fetched", values=values)
        else:
            yield log_row(LOUD, at=at, level=Level.STDOUT, template=f"line {number}: GET /page/{number} 200 OK")


def write_store(project: Project, log_lines: int) -> BigRun:
    """Write both runs into the store of a project; the big one is the newest."""
    project.prepare()
    now = time.time()
    store = Store.open(project.data_dir)
    try:
        store.commit(_loud_run(now))
        lines = _lines(log_lines, now)
        while some := list(islice(lines, LINES_AT_ONCE)):
            batch = Batch()
            batch.logs += some
            store.commit(batch)
        big = BigRun(now)
        store.commit(big.beginning())
    finally:
        store.close()
    return big
