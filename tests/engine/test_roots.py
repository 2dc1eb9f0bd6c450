"""The keys that the arguments of a run's root have: from the command line's words, and from `cf.start`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coflux as cf
from coflux.executor import client as clients
from coflux.executor.messages import ArgumentKey, Bind, BindFailed, Bound
from coflux.executor.requests import RunStarted, StartRun
from coflux.keys import key_of
from coflux.project import Project
from coflux.target import Target
from tests.engine.scripted import ScriptedWorker

TARGETS = """
    import threading

    class Odd:
        def __init__(self, text):
            self.lock = lambda: text

    @cf.workflow(cache=True, defer=cf.Defer("page"), memo=True)
    def cached(user: str, page: int):
        pass

    @cf.workflow(defer=cf.Defer("page"), memo=True)
    def deferred(user: str, page: int):
        pass

    @cf.workflow(memo=True, retries=2)
    def plain(user: str, page: int):
        pass

    @cf.workflow(cache=True)
    def unkeyable(user=Odd("a"), page=1):
        pass
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ScriptedWorker]:
    worker = ScriptedWorker(tmp_path / "project", TARGETS)
    yield worker
    worker.close()


def key(value: object) -> ArgumentKey:
    return ArgumentKey(key_of(value).digest)


def test_words_have_keys_where_cache_or_defer_look_at_them(worker: ScriptedWorker) -> None:
    def bound(name: str, *words: str) -> Bound | BindFailed:
        worker.channel.send(Bind(0, "flow", name, words, None, "/"))
        message = worker.channel.receive()
        assert isinstance(message, Bound | BindFailed), message
        return message

    def keys(name: str, *words: str) -> tuple[ArgumentKey | None, ...]:
        message = bound(name, *words)
        assert isinstance(message, Bound), message
        return message.keys

    assert keys("cached", "ada", "2") == (key("ada"), key(2))
    assert keys("deferred", "ada", "2") == (None, key(2))
    assert keys("plain", "ada", "2") == ()
    assert keys("unkeyable") == (None, key(1))
    assert isinstance(bound("cached", "ada"), BindFailed)


def function(user: Any, page: int = 1) -> None:
    pass


class FakeClient:
    """Takes what a client would send."""

    requests: list[StartRun] = []  # noqa: RUF012 (one test at a time)

    @classmethod
    def connect(cls, project: Project, role: str) -> FakeClient:
        return cls()

    def next_request(self) -> int:
        return 1

    def request(self, message: StartRun) -> RunStarted:
        self.requests.append(message)
        return RunStarted(1, "Rbcd", False)


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        (cf.workflow(cache=cf.Cache(params="page"))(function), (None, key(2))),
        (cf.task()(function).with_defer(True), (key("ada"), key(2))),
        (cf.workflow(memo=True)(function), ()),
    ],
)
def test_arguments_of_a_script_have_keys_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target[..., Any], keys: object
) -> None:
    (tmp_path / "coflux.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clients, "Client", FakeClient)
    monkeypatch.setattr(clients, "_unread", set())
    monkeypatch.setattr(FakeClient, "requests", [])
    assert cf.start(target, "ada", 2).id == "Rbcd"
    [request] = FakeClient.requests
    assert request.keys == keys


def test_an_argument_without_a_key_does_not_keep_a_script_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coflux.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clients, "Client", FakeClient)
    monkeypatch.setattr(clients, "_unread", set())
    monkeypatch.setattr(FakeClient, "requests", [])
    cf.start(cf.workflow(cache=True)(function), lambda: 1)
    assert FakeClient.requests[0].keys == (None, key(1))
