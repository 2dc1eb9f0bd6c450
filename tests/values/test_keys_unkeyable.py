"""What has no content to compare is refused, with its place in the value and the reason."""

from __future__ import annotations

import gc
import io
import pickle
import socket
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import coflux as cf
from coflux.keys import UnkeyableValue, key_of
from tests.values import key_kinds
from tests.values.key_kinds import (
    Box,
    Order,
    Plain,
    Point,
    Table,
    double,
    fetch,
)


class Raises:
    def __reduce__(self) -> tuple[object, ...]:
        raise ZeroDivisionError("the database is gone")


class NeverEnds:
    def __reduce__(self) -> tuple[object, ...]:
        return list, ([NeverEnds()],)


class ReducesToNothing:
    def __reduce__(self) -> Any:
        return 5


def items() -> Iterator[int]:
    yield 1


def local_class() -> type:
    class Local:
        pass

    return Local


def hidden_class() -> type:
    """What a module's class used to be, before the module had another one by its name."""
    return type("Order", (), {"__module__": key_kinds.__name__})


def local_target() -> object:
    @cf.task()
    def fetch(url: str) -> str:
        return url

    return fetch


def cycle() -> object:
    ring: list[object] = [1]
    ring.append({"back": ring})
    return ring


def own_cycle() -> object:
    node = Plain()
    node.next = Plain(previous=node)  # type: ignore[attr-defined]
    return node


UNKEYABLE: list[tuple[Callable[[], object], str, str]] = [
    (threading.Lock, "value", "_thread.lock cannot be keyed"),
    (lambda: {"a": [0, threading.Lock()]}, "value['a'][1]", "_thread.lock cannot be keyed"),
    (lambda: Order("a", threading.RLock()), "value.tags", "_thread.RLock cannot be keyed"),  # type: ignore[arg-type]
    (lambda: Point(1, items()), "value.y", "generator cannot be keyed"),
    (lambda: Box({1: socket.socket()}), "value.content[1]", "socket.socket cannot be keyed"),
    (
        lambda: Box([io.StringIO, lambda: 0]),
        "value.content[1]",
        "function cannot be keyed: tests.values.test_keys_unkeyable.<la",
    ),
    (
        lambda: (local_class(),),
        "value[0]",
        "test_keys_unkeyable.local_class.<locals>.Local cannot be imported by this name",
    ),
    (lambda: [local_class()()], "value[0]", "<locals>.Local cannot be imported by this name; define it at the top"),
    (lambda: [hidden_class()], "value[0]", "tests.values.key_kinds.Order cannot be imported by this name"),
    (lambda: {threading.Lock(): 1}, "list(value)[0]", "_thread.lock cannot be keyed"),
    (
        lambda: types.SimpleNamespace(files=[io.TextIOWrapper(io.BytesIO())]),
        "value.files[0]",
        "_io.TextIOWrapper cannot be keyed",
    ),
    (lambda: Table(a=weakref.ref(double)), "value['a']", "weakref.ReferenceType cannot be keyed"),
    (lambda: Plain(module=sys), "value.module", "module cannot be keyed"),
    (threading.Thread, "value._started._cond._lock", "_thread.lock cannot be keyed"),
    (lambda: [object()], "value[0]", "object cannot be keyed: all that it has is its identity"),
    (lambda: np.array([1, threading.Lock()], dtype=object), "value", "_thread.lock cannot be keyed"),
    (lambda: [cf.Secret("hunter2!")], "value[0]", "coflux.secret.Secret cannot be keyed: Secret('***') is sent as"),
    (lambda: [Raises()], "value[0]", "Raises cannot be keyed (ZeroDivisionError: the database is gone)"),
    (lambda: [ReducesToNothing()], "value[0]", "ReducesToNothing cannot be keyed (TypeError: "),
    (cycle, "value[1]['back']", "list cannot be keyed: it holds itself"),
    (own_cycle, "value.next.previous", "Plain cannot be keyed: it holds itself"),
    (NeverEnds, "value", "NeverEnds cannot be keyed: it is nested more than 50,000 levels deep"),
    (
        lambda: [local_target()],
        "value[0]",
        "test_keys_unkeyable.local_target.<locals>.fetch is not at the top level of a module",
    ),
    (lambda: fetch.with_retries(cf.Retries(1, when=lambda _: True)), "value.when", "function cannot be keyed"),
]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("make", "path", "reason"), UNKEYABLE)
def test_the_message_names_the_place_and_the_reason(make: Callable[[], object], path: str, reason: str) -> None:
    with pytest.raises(UnkeyableValue) as raised:
        key_of(make())
    assert raised.value.path == path
    assert reason in raised.value.reason
    assert str(raised.value) == f"{path}: {raised.value.reason}"
    assert "hunter2" not in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    del raised
    gc.collect()  # what was opened for this test is closed in it


def test_the_name_of_the_value_begins_the_path() -> None:
    with pytest.raises(UnkeyableValue, match=r"^orders\[0\]: _thread\.lock cannot be keyed"):
        key_of([threading.Lock()], name="orders")


def test_what_the_users_code_raised_is_the_cause() -> None:
    with pytest.raises(UnkeyableValue) as raised:
        key_of(Raises())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
