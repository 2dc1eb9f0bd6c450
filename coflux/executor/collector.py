"""When garbage is collected, and how the engine goes on meanwhile.

Once a day, when the engine becomes idle or has been up for a while; when somebody asks for it; and for what was left of
runs that were deleted. What only reads or removes files is done on a thread, rows are deleted in steps between the
turns of the loop, a few milliseconds each, with pauses while there is other work.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from coflux.executor.collection import SAFE_AGE, GarbageCollection, Steps
from coflux.executor.database import StoreBusy, StoreError, StoreFull
from coflux.executor.marking import Limits
from coflux.executor.requests import Collect, Collected

if TYPE_CHECKING:
    from coflux.executor.server import Session
    from coflux.executor.supervisor import Supervisor

__all__ = ["Collector"]

INTERVAL = 86400.0  # seconds between two collections that nobody asked for
HOLD_OFF = 60.0  # seconds of other work before the first one
BUDGET = 0.005  # seconds of deleting in one go
BUSY_PAUSE = 0.02  # seconds until the next go, while there is other work
RETRY = 0.05  # seconds until the next try at a busy store

LAST = "collected_at"


class _Task(NamedTuple):
    limits: Limits
    dry_run: bool
    session: Session | None  # who asked
    request: int


class Collector:
    """
    Attributes:
        due_at: when to call `advance` next, in monotonic seconds; only while everything that happened is recorded.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.due_at = inf
        self._supervisor = supervisor
        self._waiting: deque[_Task] = deque()
        self._task: _Task | None = None
        self._garbage: GarbageCollection | None = None
        self._steps: Steps | None = None  # those that are being made
        self._step: Callable[[], Any] | None = None  # the next of them
        self._then: Callable[[], None] = self._tell
        self._daily_at = 0.0  # monotonic seconds

    # -- who wants it -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Find out when the next collection is due. Raises `StoreError`."""
        stored = self._supervisor.store.get_setting(LAST)
        last = 0.0 if stored is None else float(stored)
        wait = min(max(last + INTERVAL - time.time(), 0.0), INTERVAL)  # whatever became of the clock since
        self._daily_at = self._supervisor.now.monotonic + wait
        self.due_at = self._daily_at + HOLD_OFF

    def advance(self) -> None:
        """Make some steps, or begin what is due."""
        if self._steps is not None:
            self._work()
        elif self._task is None:
            self._collect_daily()

    def finished(self) -> bool:
        """Whether nothing keeps the engine, which is idle: what is due is begun."""
        if self._task is None and self._supervisor.now.monotonic >= self._daily_at:
            self._collect_daily()
        return self._task is None

    def _collect_daily(self) -> None:
        self._daily_at = self._supervisor.now.monotonic + INTERVAL
        settings = self._supervisor.project.settings
        self._ask(_Task(_limits(settings.keep_for, settings.keep_size), False, None, 0))

    def requested(self, session: Session, message: Collect) -> None:
        self._ask(_Task(_limits(message.keep_for, message.keep_size), message.dry_run, session, message.request))

    def purge(self) -> None:
        """Remove what is left of runs that were deleted."""
        task = _Task(Limits(), False, None, 0)
        if task not in self._waiting:
            self._ask(task)

    def _ask(self, task: _Task) -> None:
        self._waiting.append(task)
        if self._task is None:
            self._start()

    # -- one after the other ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        task = self._task = self._waiting.popleft()
        self.due_at = inf
        self._garbage = GarbageCollection(
            self._supervisor.store, task.limits, self._untouched_since(), self._busy, dry_run=task.dry_run
        )
        self._in_thread(self._garbage.look, self._looked)

    def _untouched_since(self) -> float:
        """Blobs that were written since may be referred to in what is yet to be recorded."""
        workers = self._supervisor.scheduler.workers.values()
        running = [worker.execution.started_at for worker in workers if worker.execution is not None]
        starts = [time.time() - SAFE_AGE, *self._supervisor.server.clients_since()]
        starts += [started_at for started_at in running if started_at is not None]
        return min(starts) - 1.0  # the clock of files is a little behind

    def _busy(self) -> set[str]:
        return {*self._supervisor.scheduler.families, *self._supervisor.server.followed()}

    def _looked(self) -> None:
        assert self._garbage is not None
        if self._garbage.dry_run:
            self._tell()
        else:
            self._take(self._garbage.delete_rows(), self._remove_blobs)

    def _remove_blobs(self) -> None:
        assert self._garbage is not None
        self._in_thread(self._garbage.remove_blobs, self._shrink)

    def _shrink(self) -> None:
        assert self._garbage is not None
        self._take(self._garbage.shrink(), self._measure)

    def _measure(self) -> None:
        assert self._garbage is not None
        self._in_thread(self._garbage.measure, self._tell)

    def _tell(self) -> None:
        assert self._garbage is not None
        assert self._task is not None
        report = self._garbage.report(self._task.request)
        if not report.dry_run:
            _log(_in_words(report))
            try:
                self._supervisor.store.put_setting(LAST, repr(time.time()).encode())
            except StoreError:
                pass  # it will be collected again sooner, that is all
        if self._task.session is not None:
            self._task.session.send(report)
        self._over()

    def _fail(self, error: BaseException) -> None:
        assert self._task is not None
        if not isinstance(error, StoreError | OSError):
            traceback.print_exception(error)
        _log(f"garbage was not collected: {error}")
        if self._task.session is not None:
            self._task.session.fail(self._task.request, "failed", str(error))
        self._over()

    def _over(self) -> None:
        self._task = self._garbage = self._steps = None
        self.due_at = self._daily_at
        if self._waiting:
            self._start()

    # -- steps, and what has a thread ---------------------------------------------------------------------------------

    def _take(self, steps: Steps, then: Callable[[], None]) -> None:
        self._steps, self._then, self._step = steps, then, next(steps, None)
        self._pause(0.0)

    def _pause(self, seconds: float) -> None:
        self.due_at = self._supervisor.now.monotonic + seconds
        self._supervisor.wake_within(seconds)

    def _work(self) -> None:
        """Make steps for a while. One for which the store is too busy is made again."""
        assert self._steps is not None
        until = time.monotonic() + BUDGET
        try:
            while self._step is not None and time.monotonic() < until:
                self._step = _following(self._steps, self._step())
        except StoreBusy:
            self._pause(RETRY)
        except StoreFull as error:
            self._make_room(error)
        except StoreError as error:
            self._fail(error)
        else:
            if self._step is not None:
                self._pause(BUSY_PAUSE if self._supervisor.scheduler.families else 0.0)
                return
            self._steps, self.due_at = None, inf
            self._then()

    def _make_room(self, error: StoreFull) -> None:
        """Deleting rows takes some space itself. Blobs that no family needs can go all the same, and make some."""
        assert self._garbage is not None
        self._steps, self.due_at = None, inf
        self._in_thread(self._garbage.remove_blobs, lambda: self._fail(error))

    def _in_thread(self, call: Callable[[], None], then: Callable[[], None]) -> None:
        """Let a thread do it. The loop is woken by the end of a pipe."""
        ours, theirs = os.pipe()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 (told on the loop's thread)
                errors.append(error)
            finally:
                os.close(theirs)

        def ended() -> None:
            self._supervisor.poller.remove(ours)
            os.close(ours)
            if errors:
                self._fail(errors[0])
            else:
                then()

        self._supervisor.poller.add(ours, ended)
        threading.Thread(target=work, name="garbage", daemon=True).start()


def _following(steps: Steps, result: object) -> Callable[[], Any] | None:
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _limits(keep_for: float | None, keep_size: int | None) -> Limits:
    return Limits(None if keep_for is None else time.time() - keep_for, keep_size)


def _in_words(report: Collected) -> str:
    return (
        f"collected garbage: {report.runs} runs, {report.rows} rows, {report.log_entries} log entries,"
        f" {report.blobs} blobs; {report.bytes_before} bytes before, {report.bytes_after} after"
    )


def _log(text: str) -> None:
    """A line in `supervisor.log`."""
    print(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {text}", file=sys.stderr, flush=True)
