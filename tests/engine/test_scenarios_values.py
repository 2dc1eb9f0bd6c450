"""Scenarios: values (SER) and errors (ERR) between processes."""

from __future__ import annotations

import pytest

from tests.engine.scratch import ScratchProject, kinds

ECHO = """
@cf.task()
def echo(value):
    return value

def check(*values):
    for value in values:
        returned = echo(value)
        assert type(returned) is type(value), (value, returned)
        assert returned == value, (value, returned)
        assert repr(returned) == repr(value), (value, returned)
    return len(values)
"""


@pytest.mark.parametrize(
    "values",
    [
        # SER-S01, SER-S02, SER-S03
        'None, True, 0, -1, 1 << 200, 0.1, "", "ünï", [1, [2, {"a": [3.0]}]], [1, True, 1.0]',
        '([1, (2, 3)], {"k": (4,)}), (), {1: "int", "1": "str", (1, 2): 3, None: 4}, {"z": 1, "a": 2}',
        # SER-S06
        "Point(1, [2]), Color.RED, 1 + 2j, Named(1, 2), {Color.RED: Point(0, [])}",
        # SER-S08
        'Decimal("1.500"), UUID(int=7), datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))), date(2024, 1, 2)',
        "time(1, 2, 3), timedelta(days=1, microseconds=1), Path('a/b')",
        "range(3), frozenset([1]), b'x', bytearray(b'y')",
    ],
)
def test_values_come_back_as_they_went(shared: ScratchProject, values: str) -> None:
    """SER-S01, SER-S02, SER-S03, SER-S06, SER-S08."""
    shared.write(
        "flow",
        f"""
        from collections import namedtuple
        from dataclasses import dataclass
        from datetime import date, datetime, time, timedelta, timezone
        from decimal import Decimal
        from enum import Enum
        from pathlib import Path
        from uuid import UUID

        @dataclass
        class Point:
            x: int
            y: list

        class Color(Enum):
            RED = 1

        Named = namedtuple("Named", "a b")
        {ECHO.replace(chr(10), chr(10) + " " * 8)}

        @cf.workflow()
        def main():
            return check({values})
        """,
    )
    finished = shared.run("flow/main")
    assert finished.status == 0, finished.err


def test_a_pydantic_model_comes_back_as_it_went(shared: ScratchProject) -> None:
    """SER-S05. Its fields are checked on the command line, and it is printed as JSON."""
    shared.write(
        "flow",
        """
        from pydantic import BaseModel

        class Order(BaseModel):
            id: int
            tags: list[str] = []

        @cf.task()
        def echo(order):
            return order

        @cf.workflow()
        def main(order: Order):
            back = echo(order)
            assert type(back) is Order and back == order
            return back
        """,
    )
    assert shared.run("flow/main", '{"id": 7, "tags": ["a"]}').value == {"id": 7, "tags": ["a"]}
    refused = shared.run("flow/main", '{"id": "seven"}')
    assert refused.status == 2
    assert "order" in refused.err


def test_big_values_come_back_as_they_went(shared: ScratchProject) -> None:
    """SER-S04, SER-S07; arrays of numpy too."""
    shared.write(
        "flow",
        """
        import numpy

        @cf.task()
        def echo(value):
            return value

        @cf.workflow()
        def main():
            data, text, array = os.urandom(1 << 20), "ü" * 5_000_000, numpy.arange(1 << 18).reshape(512, 512)
            back = echo(array)
            back += 1  # a mapped array is the reader's own
            return [echo(data) == data, echo(text) == text, bool((back == array + 1).all()), back.shape]
        """,
    )
    assert shared.run("flow/main").value == [True, True, True, [512, 512]]


def test_arguments_of_the_command_line_are_read_by_their_annotations(shared: ScratchProject) -> None:
    """SER-S09, adapted: text needs no quotes, and JSON is accepted (behaviour 11.1)."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main(data: dict, text: str, numbers: list[int], flag: bool = False):
            return [data, text, numbers, flag]
        """,
    )
    words = ('{"a": [1, 2.5, null]}', "x", "--numbers", "[1, 2]", "flag=true")
    assert shared.run("flow/main", *words).value == [{"a": [1, 2.5, None]}, "x", [1, 2], True]


def test_what_cannot_be_sent_is_named_by_its_place(shared: ScratchProject) -> None:
    """Behaviour 10.1: never a `repr` instead."""
    shared.write(
        "flow",
        """
        import threading

        @cf.task()
        def child(value=None):
            return {"a": [1, threading.Lock()]}

        @cf.workflow()
        def main():
            messages = []
            for call in (child, lambda: child({"b": (threading.Lock(),)})):
                try:
                    call()
                except Exception as error:
                    messages.append(str(error))
            return messages
        """,
    )
    result, argument = shared.run("flow/main").value
    assert "result['a'][1]" in result
    assert "lock" in result
    assert "value['b'][0]" in argument


def test_an_error_can_be_caught_as_what_it_was_and_as_an_execution_error(shared: ScratchProject) -> None:
    """ERR-S01, ERR-S02, ERR-S03."""
    shared.write(
        "flow",
        """
        class Own(Exception):
            pass

        @cf.task()
        def divide():
            return 1 / 0

        @cf.task()
        def own():
            raise Own("mine")

        @cf.workflow()
        def main():
            caught = []
            for target, kind in ((divide, ZeroDivisionError), (own, Own), (divide, cf.ExecutionError)):
                try:
                    target()
                except kind as error:
                    caught.append([error.error_type, error.error_message, str(error)])
            return caught
        """,
    )
    divide = ["builtins.ZeroDivisionError", "division by zero", "division by zero"]
    assert shared.run("flow/main").value == [divide, ["flow.Own", "mine", "mine"], divide]


def test_the_traceback_shows_the_users_frames_only(shared: ScratchProject) -> None:
    """ERR-S04."""
    path = shared.write(
        "flow",
        """
        def inner():
            raise ValueError("deep")

        def outer():
            inner()

        @cf.task()
        def child():
            outer()

        @cf.workflow()
        def main():
            child()
        """,
    )
    error = shared.document("flow/main")["error"]
    assert error["message"] == "deep"
    for function in ("child", "outer", "inner", "main"):
        assert f", in {function}\n" in error["traceback"]
    assert str(path) in error["traceback"]
    assert 'raise ValueError("deep")' in error["traceback"]
    assert "/coflux/executor/" not in error["traceback"]


def test_an_error_of_a_class_that_cannot_be_imported_here(project: ScratchProject) -> None:
    """ERR-S05: a plain `ExecutionError` with the original's name."""
    project.write(
        "flow",
        """
        import types

        @cf.task()
        def child():
            module = types.ModuleType("made_up")
            sys.modules["made_up"] = module
            exec("class Odd(Exception): pass", vars(module))
            raise module.Odd("strange")

        @cf.workflow()
        def main():
            try:
                child()
            except cf.ExecutionError as error:
                return [type(error) is cf.ExecutionError, error.error_type, str(error)]
        """,
    )
    assert project.run("flow/main").value == [True, "made_up.Odd", "strange"]


def test_an_error_whose_class_wants_arguments(shared: ScratchProject) -> None:
    """ERR-S06, adapted: it is made without its `__init__`, so it is an instance of its class (behaviour 10.2)."""
    shared.write(
        "flow",
        """
        class Wanting(Exception):
            def __init__(self, a, b, c):
                super().__init__(f"{a}-{b}-{c}")
                self.b = b

        @cf.task()
        def child():
            raise Wanting(1, 2, 3)

        @cf.workflow()
        def main():
            try:
                child()
            except Wanting as error:
                return [str(error), error.b]
        """,
    )
    assert shared.run("flow/main").value == ["1-2-3", 2]


def test_what_the_engine_ended_is_no_error_of_the_code(shared: ScratchProject) -> None:
    """ERR-S07, SEL-S01."""
    shared.write(
        "flow",
        """
        @cf.task(delay=20)
        def late():
            pass

        @cf.task(timeout=0.1)
        def slow():
            time.sleep(20)

        @cf.task()
        def fail():
            raise ValueError("no")

        def family(handle):
            try:
                handle.result()
            except cf.ExecutionError as error:
                return "error"
            except cf.ExecutionTerminated as error:
                return type(error).__name__

        @cf.workflow()
        def main():
            cancelled = late.submit()
            cancelled.cancel()
            return [family(handle) for handle in (cancelled, slow.submit(), fail.submit())]
        """,
    )
    assert shared.run("flow/main").value == ["ExecutionCancelled", "ExecutionTimeout", "error"]


def test_an_error_keeps_its_type_through_callers(shared: ScratchProject) -> None:
    """ERR-S08."""
    shared.write(
        "flow",
        """
        @cf.task()
        def a():
            raise ValueError("from a")

        @cf.task()
        def b():
            a()

        @cf.workflow()
        def main():
            try:
                b()
            except ValueError as error:
                mark(type(error).__name__)
                raise
        """,
    )
    document = shared.document("flow/main")
    assert document["error"]["type"] == "builtins.ValueError"
    assert document["error"]["message"] == "from a"
    assert kinds(document, "b") == [["failed"]]
    assert [mark.text for mark in shared.marks()] == ["ValueError"]
