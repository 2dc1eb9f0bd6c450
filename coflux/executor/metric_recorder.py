"""Points on their way out of a worker: sent at once where that costs nothing, else soon, and all of them at the end.

What has to wait is sent by a thread, since the user's code may be busy computing. There is one only while something
waits, and nobody should meet it: `threading` does not list it, it takes no signals, and it ends before a fork.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time

# What `signal` wraps around it costs more than all else that the thread does at its start.
from _signal import pthread_sigmask  # type: ignore[import-not-found]
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, TypeVar

from coflux.executor.channel import ChannelClosed
from coflux.executor.messages import DefineMetric
from coflux.executor.metric_points import Definitions, Series
from coflux.metrics import Metric, MetricGroup, MetricScale
from coflux.redaction import THIS_PROCESS

__all__ = ["MetricRecorder"]

_Axis = TypeVar("_Axis", MetricGroup | None, MetricScale | None)

_LONGEST_WAIT = 3600.0  # seconds; a throttle may ask for more than a lock can wait

# Those that a fault of the thread's own code raises are left to it: blocked, they would kill without a trace.
_OWN_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)
_SIGNALS = [int(number) for number in signal.valid_signals() if number not in _OWN_FAULTS]


class MetricRecorder:
    """The metrics of one execution. Any of its threads may record."""

    def __init__(self, started: float, send: Callable[[object], None], warn: Callable[[str, float], None]) -> None:
        """`started` is when the execution did, on the monotonic clock. `send` sends a message. `warn` logs that a point
        of a metric was dropped, with its key and `at`."""
        self._started = started
        self._send = send
        self._warn = warn
        self._definitions = Definitions()
        self._series: dict[str, Series] = {}
        self._lock = threading.RLock()  # a signal handler or a finalizer may record while this thread does
        self._changed = threading.Condition(self._lock)
        self._ended = False
        # The thread:
        self._running = False
        self._stopping = False  # there must be none now
        self._wakes_at = inf

    def record(self, metric: Metric, value: float, at: float | None) -> None:
        """Record a point. Raises `ValueError` for a metric that contradicts another of this execution."""
        with self._lock:
            if self._ended:
                return
            series = self._series.get(metric.key)
            if series is None or series.metric is not metric:
                series = self._define(series, metric)
            now = time.monotonic()
            due = series.add(value, at, now)
            if series.dropped is not None:
                self._tell_dropped(series)
            if due <= now:
                self._send_points(series, now)
            elif due < self._wakes_at:
                self._wake(due)

    def end(self) -> None:
        """Send all that is left: the execution's code has ended. What threads of it record from now on is lost."""
        self._stop_thread()
        with self._lock:
            self._ended = True  # before all else: a signal handler that records now would hold what nobody sends
            for series in self._series.values():
                for message in series.end():
                    self._send(message)

    def _define(self, series: Series | None, metric: Metric) -> Series:
        if series is not None:
            self._definitions.redefine(series, metric)
            return series
        series = self._definitions.define(metric, self._started)
        key, group, scale = THIS_PROCESS.text(metric.key), _redacted(metric.group), _redacted(metric.scale)
        try:
            self._send(DefineMetric(series.number, key, group, scale))
        except BaseException:
            self._definitions.withdraw(series)
            raise
        self._series[metric.key] = series
        return series

    def _tell_dropped(self, series: Series) -> None:
        """Of the first point that was dropped."""
        if not series.warned:
            series.warned = True
            assert series.dropped is not None
            self._warn(series.metric.key, series.dropped)
        series.dropped = None

    def _send_points(self, series: Series, now: float) -> None:
        for message in series.take(now):
            self._send(message)

    # -- the thread: all of this with the lock held ------------------------------------------------------------------

    def _wake(self, due: float) -> None:
        """Have something sent when it is due."""
        if self._running:
            self._changed.notify_all()
        elif not self._stopping:
            _watch_forks(self)
            try:
                _thread.start_new_thread(self._send_when_due, ())
            except RuntimeError:
                return  # there cannot be more threads: it is sent with the next point, or at the end
            self._running = True
        self._wakes_at = due

    def _send_when_due(self) -> None:
        pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        with self._lock:
            try:
                while not self._stopping and (due := self._next_due()) < inf:
                    self._wakes_at = due
                    self._changed.wait(min(max(due - time.monotonic(), 0.0), _LONGEST_WAIT))
                    self._send_due(time.monotonic())
            except ChannelClosed:
                pass  # which whoever uses the channel next will meet, too
            finally:
                self._running = False
                self._wakes_at = inf
                self._changed.notify_all()

    def _next_due(self) -> float:
        return min(series.due for series in self._series.values())

    def _send_due(self, now: float) -> None:
        for series in list(self._series.values()):
            if series.due <= now:
                self._send_points(series, now)

    def _stop_thread(self) -> None:
        with self._lock:
            self._stopping = True
            self._changed.notify_all()
            while self._running:
                self._changed.wait()

    # -- forks -------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """See to it that the child has no half of a thread, and that nothing is being sent meanwhile."""
        if not self._ended:
            self._stop_thread()

    def after_fork(self) -> None:
        """Go on, in the parent."""
        with self._lock:
            self._stopping = self._ended
            if not self._ended and (due := self._next_due()) < inf:
                self._wake(due)


def _redacted(axis: _Axis) -> _Axis:
    """A group or a scale as it may be shown."""
    if axis is None:
        return None
    texts = {"name": axis.name, "units": axis.units}
    shown: dict[str, Any] = {field: THIS_PROCESS.text(text) for field, text in texts.items() if text is not None}
    return replace(axis, **shown)


_recorder: MetricRecorder | None = None  # whose thread a fork must not meet
_watching = False


def _watch_forks(recorder: MetricRecorder) -> None:
    """Tell `recorder` of forks from now on, instead of the one before."""
    global _recorder, _watching
    _recorder = recorder
    if not _watching:  # there is no way to take a hook away
        _watching = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _before_fork() -> None:
    if _recorder is not None:
        _recorder.before_fork()


def _after_fork() -> None:
    if _recorder is not None:
        _recorder.after_fork()


def _after_fork_in_child() -> None:
    global _recorder
    _recorder = None  # its lock may be one that nobody is left to release
