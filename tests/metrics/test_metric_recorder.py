"""What a worker sends of what is recorded, and its thread."""

from __future__ import annotations

import math
import os
import threading
import time
from array import array
from collections.abc import Iterator

import pytest

import coflux as cf
from coflux.executor.channel import ChannelClosed
from coflux.executor.messages import DefineMetric, HoldPoint, RecordPoints
from coflux.executor.metric_recorder import MetricRecorder
from tests.engine.scratch import eventually


class Sent:
    """What a recorder has sent, and warned of."""

    def __init__(self) -> None:
        self.messages: list[object] = []
        self.warnings: list[tuple[str, float]] = []
        self.recorder = MetricRecorder(time.monotonic(), self.messages.append, self._warn)

    def _warn(self, key: str, at: float) -> None:
        self.warnings.append((key, at))

    def values(self, number: int = 0) -> list[float]:
        found = array("d")
        for message in list(self.messages):
            if isinstance(message, RecordPoints) and message.metric == number:
                assert message.first == len(found)
                found.frombytes(message.values)
        return list(found)


@pytest.fixture
def sent() -> Iterator[Sent]:
    sent = Sent()
    yield sent
    sent.recorder.end()


def native_threads() -> set[str]:
    """The threads of this process, be they known to `threading` or not."""
    return set(os.listdir("/proc/self/task"))


def test_what_is_held_is_sent_while_the_code_is_busy(sent: Sent) -> None:
    """By a thread that there is only meanwhile, and that is in no list of threads."""
    before, listed = native_threads(), threading.active_count()
    metric = cf.Metric("m", throttle=20)
    sent.recorder.record(metric, 1, None)
    assert sent.values() == [1]
    assert not native_threads() - before  # sent at once, which takes none
    sent.recorder.record(metric, 2, None)
    sent.recorder.record(metric, 3, None)
    assert len(native_threads() - before) == 1
    assert threading.active_count() == listed
    while sent.values() != [1, 3]:
        sum(range(1000))
    eventually(lambda: not native_threads() - before)
    assert sent.messages[0] == DefineMetric(0, "m", None, None)


def test_the_thread_wakes_for_what_is_due_first(sent: Sent) -> None:
    slow, quick = cf.Metric("slow", throttle=0.001), cf.Metric("quick", throttle=None)
    for _ in range(2):
        sent.recorder.record(slow, 1, None)
    for value in range(3):
        sent.recorder.record(quick, value, None)
    eventually(lambda: sent.values(1) == [0, 1, 2])
    assert sent.values(0) == [1]
    sent.recorder.end()
    assert sent.values(0) == [1, 1]


def test_the_end_sends_what_is_left_and_nothing_follows(sent: Sent) -> None:
    before = native_threads()
    metric = cf.Metric("m", throttle=0.1)
    for value in (1, 2, 3):
        sent.recorder.record(metric, value, None)
    sent.recorder.end()
    assert sent.values() == [1, 3]
    eventually(lambda: not native_threads() - before)
    sent.recorder.record(metric, 4, None)
    sent.recorder.record(cf.Metric("other"), 5, None)
    assert sent.values() == [1, 3]


def test_threads_may_record_at_the_same_time(sent: Sent) -> None:
    metric = cf.Metric("m", throttle=None)

    def record(start: int) -> None:
        for value in range(start, start + 2000):
            sent.recorder.record(metric, value, None)

    threads = [threading.Thread(target=record, args=(start,)) for start in range(0, 8000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.recorder.end()
    assert sorted(sent.values()) == list(range(8000))


def test_what_is_held_is_told_soon(sent: Sent) -> None:
    """However long the throttle holds it, and although the code is busy: the process may be killed at any time."""
    metric = cf.Metric("m", throttle=0.001)
    for value in range(5):
        sent.recorder.record(metric, value, None)
    while not any(isinstance(message, HoldPoint) for message in list(sent.messages)):
        sum(range(1000))
    last = sent.messages[-1]
    assert isinstance(last, HoldPoint)
    assert (last.metric, last.first, last.value) == (0, 1, 4.0)
    assert sent.values() == [0]


def test_a_definition_that_cannot_be_sent_leaves_nothing_behind() -> None:
    messages: list[object] = []

    def send(message: object) -> None:
        if isinstance(message, DefineMetric) and message.key == "refused":
            raise ValueError("no")
        messages.append(message)

    recorder = MetricRecorder(time.monotonic(), send, lambda key, at: None)
    with pytest.raises(ValueError, match="no"):
        recorder.record(cf.Metric("refused", group=cf.MetricGroup("g", units="epochs")), 1, None)
    recorder.record(cf.Metric("m", group="g"), 1, None)
    recorder.end()
    assert messages[0] == DefineMetric(0, "m", cf.MetricGroup("g"), None)


def test_one_warning_for_all_that_is_dropped(sent: Sent) -> None:
    metric = cf.Metric("m")
    for at in (3.0, 2.0, 1.0, math.nan):
        sent.recorder.record(metric, 0, at)
    assert sent.warnings == [("m", 2.0)]


def test_a_fork_meets_no_thread(sent: Sent) -> None:
    """And what was held is sent by the parent, not by the child."""
    before = native_threads()
    metric = cf.Metric("m", throttle=5)
    sent.recorder.record(metric, 1, None)
    sent.recorder.record(metric, 2, None)
    assert len(native_threads() - before) == 1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        grandchild = os.fork()  # with a lock that was held it would hang
        if grandchild:
            os.waitpid(grandchild, 0)
            os.write(writing, bytes([len(native_threads())]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"\1"
    os.close(reading)
    os.close(writing)
    eventually(lambda: sent.values() == [1, 2])


def test_a_channel_that_is_closed_ends_the_thread_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    before = native_threads()
    messages: list[object] = []

    def send(message: object) -> None:
        if sum(isinstance(message, RecordPoints) for message in messages):
            raise ChannelClosed
        messages.append(message)

    recorder = MetricRecorder(time.monotonic(), send, lambda key, at: None)
    metric = cf.Metric("m", throttle=50)
    recorder.record(metric, 1, None)
    recorder.record(metric, 2, None)
    eventually(lambda: not native_threads() - before)
    assert capfd.readouterr() == ("", "")
