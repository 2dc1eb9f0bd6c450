"""Which earlier submission a new one equals, when a run is resumed. The test plays the engine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coflux as cf
from coflux import values
from coflux.encoded import Value
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import Channel
from coflux.executor.messages import EarlierChild, FromWorker, Identified, Identify, Submit, ToWorker
from coflux.executor.runtime import Runtime
from coflux.handles import Execution

Arguments = tuple[object, ...]


@cf.task()
def load(page: Any = 0, options: Any = None) -> None:
    pass


@cf.task()
def store(page: Any = 0) -> None:
    pass


def received(step: int) -> Execution[Any]:
    return Execution(f"Rbcd:{step}:1", module="flow", target="load")


class Resuming:
    """An attempt whose step submitted these before, with steps from 2 on; what it submits now, and asks for."""

    def __init__(self, blobs: Path, *earlier: tuple[cf.Target[..., Any], Arguments, bool]) -> None:
        self.blobs = FileBlobs(str(blobs))
        children = tuple(
            EarlierChild(f"Rbcd:{step}:1", target.module, target.name, self.encoded(target, arguments), succeeded)
            for step, (target, arguments, succeeded) in enumerate(earlier, 2)
        )
        ours, theirs = socket.socketpair()
        self.channel: Channel[FromWorker] = Channel(ours, FromWorker)
        self._theirs: Channel[ToWorker] = Channel(theirs, ToWorker)
        self.runtime = Runtime(self._theirs, self.blobs, "Rbcd:1:2", "/project", {}, earlier=children)
        self.identified: list[int] = []

    def encoded(self, target: cf.Target[..., Any], arguments: Arguments) -> tuple[Value, ...]:
        return tuple(values.encode(argument, self.blobs) for argument in target.bind(arguments, {}))

    def submit(self, target: cf.Target[..., Any], *arguments: object) -> int:
        """The step that answers this submission, 0 for a new one."""
        bound = target.bind(arguments, {})
        thread = threading.Thread(target=self.runtime.submit, args=(target, bound, None))
        thread.start()
        answer = ""
        while True:
            message = self.channel.receive()
            if isinstance(message, Submit):
                answer = message.earlier
                break
            assert isinstance(message, Identify)
            self.identified.append(message.number)
            # In these tests the n-th submission of this attempt is answered by the n-th of before.
            self.channel.send(Identified(message.request, f"Rbcd:{message.number + 1}:1"))
        thread.join()
        return int(answer.split(":")[1]) if answer else 0

    def close(self) -> None:
        self.channel.close()
        self._theirs.close()


class Start:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[Resuming] = []

    def __call__(self, *earlier: tuple[cf.Target[..., Any], Arguments, bool]) -> Resuming:
        self.started.append(Resuming(self._directory, *earlier))
        return self.started[-1]


@pytest.fixture
def resume(tmp_path: Path) -> Iterator[Start]:
    start = Start(tmp_path)
    yield start
    for resuming in start.started:
        resuming.close()


def test_equal_submissions_are_answered_in_their_order_and_each_once(resume: Start) -> None:
    attempt = resume((load, (1,), True), (store, (1,), True), (load, (1,), True), (load, (2,), True))
    assert [attempt.submit(load, page) for page in (2, 1, 1, 1, 3)] == [5, 2, 4, 0, 0]
    assert [attempt.submit(store, 1), attempt.submit(store, 1)] == [3, 0]


def test_those_that_succeeded_go_before_the_others(resume: Start) -> None:
    attempt = resume((load, (1,), False), (load, (1,), True), (load, (1,), False), (load, (1,), True))
    assert [attempt.submit(load, 1) for _ in range(5)] == [3, 5, 2, 4, 0]


def test_nothing_is_taken_where_nothing_was_submitted_or_nothing_is_resumed(resume: Start, tmp_path: Path) -> None:
    assert resume().submit(load, 1) == 0
    attempt = Resuming(tmp_path)
    attempt.runtime = Runtime(attempt._theirs, attempt.blobs, "Rbcd:1:2", "/project", {})
    assert attempt.submit(load, 1) == 0
    attempt.close()


@pytest.mark.parametrize("other", [1.0, True, "1", (1,), [1, 2], {"a": 1}, None])
def test_values_that_only_look_alike_are_different(resume: Start, other: object) -> None:
    attempt = resume((load, (1, [1]), True))
    assert attempt.submit(load, other, [1]) == 0
    assert attempt.submit(load, 1, other) == 0
    assert attempt.submit(load, 1, [1]) == 2


def test_content_counts_where_bytes_differ(resume: Start) -> None:
    """Dicts are pickled in their order, and shared parts once."""
    shared = [1, 2] * 100
    one, two = {"a": (1, 2), "b": 2}, {"b": 2, "a": (1, 2)}
    attempt = resume((load, (one, [shared, shared]), True), (load, (two, 5), True), (load, (one, 5), False))
    assert attempt.submit(load, two, [list(shared), list(shared)]) == 2
    assert attempt.submit(load, one, 5) == 4  # by its bytes
    assert attempt.submit(load, one, 5) == 3  # by its content
    assert attempt.submit(load, one, 5) == 0


def test_big_values_count_too(resume: Start) -> None:
    big = list(range(20_000))
    attempt = resume((load, (big,), True), (load, ([*big, 1],), True))
    assert [attempt.submit(load, [*big, n]) for n in (1, 2)] == [3, 0]
    assert attempt.submit(load, list(big)) == 2


def test_an_argument_without_content_counts_by_its_bytes(resume: Start) -> None:
    unkeyable = compile("1 + 1", "nowhere", "eval")
    attempt = resume((load, (unkeyable, {"a": (1,), "b": 2}), True))
    assert attempt.submit(load, compile("1 + 2", "nowhere", "eval"), {"a": (1,), "b": 2}) == 0
    assert attempt.submit(load, unkeyable, {"b": 2, "a": (1,)}) == 2


def test_an_argument_that_cannot_be_loaded_any_more_counts_by_its_bytes(resume: Start, tmp_path: Path) -> None:
    big = ["lost"] * 20_000
    attempt = resume((load, (big,), True), (load, (5, {"a": (1,), "b": 2}), True))
    [blob] = [path for path in tmp_path.rglob("*") if path.is_file()]
    blob.unlink()
    assert attempt.submit(load, 5, {"b": 2, "a": (1,)}) == 3
    assert attempt.submit(load, list(big)) == 2


# -- handles ----------------------------------------------------------------------------------------------------------


def test_handles_count_by_their_executions(resume: Start) -> None:
    attempt = resume((load, (received(7),), True), (load, ([received(8)],), True))
    assert attempt.submit(load, received(8)) == 0
    assert attempt.submit(load, [received(8)]) == 3
    assert attempt.submit(load, received(7)) == 2
    assert attempt.identified == []


def test_a_handle_of_this_attempt_is_the_execution_that_answers_it(resume: Start) -> None:
    first = Execution[Any]("Rbcd:2:1", module="flow", target="load")
    attempt = resume((load, (1,), True), (store, (first,), True), (store, ([first, first],), True))
    handle: Execution[Any] = Execution(module="flow", target="load", number=1)
    assert attempt.submit(load, 1) == 2
    assert attempt.identified == []  # nothing depends on it yet
    assert attempt.submit(store, [handle, handle]) == 4
    assert attempt.submit(store, handle) == 3
    assert attempt.submit(store, handle) == 0
    assert attempt.identified == [1]  # once is enough


def test_handles_in_content_count_by_their_executions(resume: Start) -> None:
    """Where bytes differ, too."""
    attempt = resume((load, ({"a": received(2), "b": received(9)},), True))
    handle: Execution[Any] = Execution(module="flow", target="load", number=1)
    assert attempt.submit(load, {"b": handle, "a": received(9)}) == 0
    assert attempt.submit(load, {"b": received(9), "a": handle}) == 2
