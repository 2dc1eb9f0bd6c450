"""`run` and `start` hand the target and its bound arguments to the engine's client."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

import coflux as cf
from coflux.runs import RunHandle


@cf.workflow()
def total(a: int, *more: int, start: int = 0) -> int:
    return a + sum(more) + start


class ClientRun:
    id = "R7"

    def __init__(self) -> None:
        self.outcome: object = 6
        self.cancelled = False

    def result(self) -> object:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Client(ModuleType):
    def __init__(self) -> None:
        super().__init__("coflux.executor.client")
        self.started: list[tuple[object, tuple[object, ...]]] = []
        self.run = ClientRun()

    def start_target(self, target: object, arguments: tuple[object, ...]) -> ClientRun:
        self.started.append((target, arguments))
        return self.run


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setitem(sys.modules, client.__name__, client)
    return client


def test_start(client: Client) -> None:
    handle = cf.start(total, 1, 2, 3)
    assert client.started == [(total, (1, (2, 3), 0))]
    assert isinstance(handle, RunHandle)
    assert (handle.id, handle.result(), repr(handle)) == ("R7", 6, "<RunHandle R7>")
    handle.cancel()
    assert client.run.cancelled


def test_run_gives_the_result_or_raises(client: Client) -> None:
    assert cf.run(total, 1, start=5) == 6
    assert client.started == [(total, (1, (), 5))]
    client.run.outcome = cf.ExecutionError("no")
    with pytest.raises(cf.ExecutionError, match="no"):
        cf.run(total, 1)
    assert not client.run.cancelled


def test_interrupting_run_cancels_it(client: Client) -> None:
    client.run.outcome = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cf.run(total, 1)
    assert client.run.cancelled


def test_arguments_named_like_the_parameters_of_run(client: Client) -> None:
    @cf.task()
    def aim(target: str, function: str) -> None: ...

    cf.run(aim, target="a", function="b")
    assert client.started == [(aim, ("a", "b"))]


@pytest.mark.parametrize("function", [cf.run, cf.start])
def test_wrong_use(client: Client, function: Any) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) takes a target .*, not <function"):
        function(total.fn, 1)
    with pytest.raises(TypeError, match=r"total\(\) missing 1 required positional argument"):
        function(total)
    assert client.started == []
