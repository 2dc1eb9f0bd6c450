"""What type checkers see. mypy reads this file; each `type: ignore` is an error that must be found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import coflux as cf
from coflux.runs import RunHandle


@cf.task(retries=3)
def length(text: str, *, factor: float = 1) -> float:
    return len(text) * factor


@cf.task
def bare(x: int) -> str:
    return str(x)


@cf.workflow()
async def fetch(url: str) -> bytes:
    return url.encode()


@cf.workflow
async def bare_fetch(url: str) -> bytes:
    return url.encode()


@cf.stub("other.flows", type="task")
def remote(x: int) -> list[int]:
    return [x]


@cf.task()
def consume(handle: cf.Execution[float]) -> float:
    return handle.result()


def test_results_and_handles() -> None:
    assert_type(length("abc"), float)
    assert_type(length("abc", factor=2), float)
    assert_type(length.submit("abc"), cf.Execution[float])
    assert_type(bare(1), str)
    assert_type(remote.submit(1).result(), list[int])
    assert_type(length.with_retries(0).with_cache(60).with_memo(["text"])("abc"), float)
    assert consume(length.submit("abc")) == 3


def test_async_functions_have_the_awaited_type() -> None:
    assert_type(fetch("x"), bytes)
    assert_type(bare_fetch.submit("x"), cf.Execution[bytes])


async def awaited() -> None:
    assert_type(await fetch.submit("x"), bytes)


def test_poll_adds_the_type_of_the_default() -> None:
    handle = length.submit("abc")
    assert_type(handle.poll(), float | None)
    assert_type(handle.poll(1, default="none"), float | str)


def test_select() -> None:
    winner, remaining = cf.select([length.submit("abc")])
    assert_type(winner, cf.Execution[float])
    assert_type(remaining, list[cf.Execution[float]])


def test_progress() -> None:
    for item in cf.progress(["a"]):
        assert_type(item, str)


def running() -> None:
    assert_type(cf.run(length, "abc", factor=2), float)
    assert_type(cf.start(fetch, "x"), RunHandle[bytes])
    cf.run(length, 5)  # type: ignore[arg-type]


def refused() -> None:
    length(5)  # type: ignore[arg-type]
    length.submit("abc", 2)  # type: ignore[call-arg]
    length.submit()  # type: ignore[call-arg]
    consume(5)  # type: ignore[arg-type]
    cf.task(retries="3")  # type: ignore[call-overload]
    cf.workflow(memo=["text"])  # type: ignore[call-overload]
    cf.stub("flows", timeout=5)  # type: ignore[call-arg]
    cf.Retries(backoff=5)  # type: ignore[arg-type]


@pytest.mark.slow
def test_mypy_agrees() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", __file__]
    check = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
