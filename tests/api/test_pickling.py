"""What pickles by reference, what by value, and what not at all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dill
import pytest

import coflux as cf

ROOT = Path(__file__).parents[2]


@cf.task("renamed", retries=cf.Retries(1, when=OSError))
def by_reference() -> int:
    return 1


@cf.stub("other.flows")
def elsewhere() -> int:
    return 2


def test_importable_target_pickles_by_reference() -> None:
    assert not by_reference.by_value
    assert pickle.loads(pickle.dumps(by_reference)) is by_reference
    assert pickle.loads(pickle.dumps(elsewhere)) is elsewhere


@pytest.mark.parametrize("target", [by_reference, elsewhere])
def test_changed_copy_pickles_as_the_reference_and_its_changes(target: Any) -> None:
    copy = target.with_retries(cf.Retries(5, when=KeyError)).with_memo(True)
    again = pickle.loads(pickle.dumps(copy))
    assert again.fn is target.fn
    assert again.options == copy.options
    assert again.overrides == {"retries", "memo"}
    assert again.when(KeyError())
    assert not again.when(OSError())


def test_stubs_that_share_a_function_are_told_apart() -> None:
    first, second = cf.stub("flows.a")(elsewhere.fn), cf.stub("flows.b")(elsewhere.fn)
    assert pickle.loads(pickle.dumps(first)) is first
    assert pickle.loads(pickle.dumps(second)) is second


def test_target_that_the_module_does_not_define_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(by_reference)
    monkeypatch.delitem(cf.target.registry, (__name__, "renamed"))
    with pytest.raises(LookupError, match=r"does not define .*/renamed any more, which a pickled value refers to"):
        pickle.loads(pickled)


def test_local_target_travels_by_value() -> None:
    factor = 3

    @cf.task(retries=cf.Retries(2, when=lambda error: "again" in str(error)), wait="x")
    def multiply(x: int, depth: int = 1, *, sign: int = 1) -> int:
        return sign * x * factor if depth == 0 else multiply(x, depth - 1, sign=sign)

    assert multiply.by_value
    multiply.submit(1)
    again = dill.loads(dill.dumps(multiply, recurse=True))
    assert again is not multiply
    assert again(2, sign=-1) == -6
    assert again.bind((2,), {}) == (2, 1, 1)
    assert again.options == multiply.options
    assert again.parameters == multiply.parameters
    assert again.when(ValueError("again"))
    assert again.fn.__closure__[1].cell_contents is again
    assert (again.module, again.name, again.type, again.by_value) == (__name__, "multiply", "task", True)


def test_changed_copy_of_a_local_target() -> None:
    @cf.task()
    def answer() -> int:
        return 42

    again = dill.loads(dill.dumps(answer.with_timeout(5), recurse=True))
    assert again() == 42
    assert again.options.timeout == 5


SCRIPT = """
import sys, dill
import coflux as cf

BASE = 1

@cf.task(memo="n")
def fibonacci(n):
    return BASE if n < 2 else helper(n - 1) + fibonacci(n - 2)

def helper(n):
    return fibonacci(n)

@cf.stub("flows")
def remote():
    return BASE

@cf.workflow()
async def main(n=9):
    return fibonacci(n) + remote()

assert main.by_value and fibonacci.by_value and not remote.by_value
dill.dump([main, fibonacci.fn], sys.stdout.buffer, recurse=True)
"""


LOADER = """
import sys, dill
main, fibonacci = dill.load(sys.stdin.buffer)
print(main(), fibonacci(9), main.fn.__globals__["fibonacci"].bind((1,), {}))
"""


def test_main_module_travels_by_value(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {"PYTHONPATH": str(ROOT)}
    pickled = subprocess.run([sys.executable, script], env=environment, stdout=subprocess.PIPE, check=True)
    command = [sys.executable, "-c", LOADER]
    loaded = subprocess.run(command, env=environment, input=pickled.stdout, stdout=subprocess.PIPE, check=True)
    assert loaded.stdout == b"56 55 (1,)\n"


ERRORS = [
    cf.ExecutionError,
    cf.ExecutionTerminated,
    cf.ExecutionCancelled,
    cf.ExecutionTimeout,
    cf.ExecutionAbandoned,
    cf.InternalError,
]


@pytest.mark.parametrize("error_class", ERRORS)
def test_errors_pickle_with_what_they_know(error_class: type[Exception]) -> None:
    error = error_class("it went wrong", 5)
    details = {"error_type": "builtins.KeyError", "error_message": "'x'", "remote_traceback": "Traceback"}
    if issubclass(error_class, cf.ExecutionError):
        error.__dict__.update(details)
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is error_class
    assert again.args == error.args
    assert again.__dict__ == error.__dict__


def test_error_families() -> None:
    assert issubclass(cf.ExecutionAbandoned, cf.ExecutionError)
    for error_class in (cf.ExecutionCancelled, cf.ExecutionTimeout, cf.ExecutionAbandoned):
        assert issubclass(error_class, cf.ExecutionTerminated)
    assert not issubclass(cf.ExecutionTimeout, cf.ExecutionError)


def test_secrets_pickle_by_name_or_not_at_all() -> None:
    with pytest.raises(TypeError, match=r"cannot pickle Secret\('\*\*\*'\), which must not be stored"):
        pickle.dumps(cf.Secret("hunter2hunter2"))
    named = cf.Secret.env("HUNTER_TOKEN")
    assert pickle.loads(pickle.dumps(named)) == named
