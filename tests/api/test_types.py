"""What type checkers see. mypy and pyright read this file; each `type: ignore` is an error that must be found."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_type

import pytest

import coflux as cf
from coflux.runs import RunHandle
from coflux.target import Target


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


@cf.stub("other.flows", type="workflow", memo=["x"])
async def remote_async(x: int) -> dict[str, int]:
    return {"x": x}


@cf.task()
def gather(*urls: str, **options: int) -> list[str]:
    return [*urls, *options]


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
    assert_type(gather("a", "b", limit=1), list[str])
    assert_type(gather.submit("a").poll(), list[str] | None)


def test_changed_copies_have_the_same_type() -> None:
    copies: list[Target[[int], str]] = [
        bare.with_cache(timedelta(minutes=1)),
        bare.with_cache(cf.Cache(params="x")),
        bare.with_retries(cf.Retries(2, when=KeyError)),
        bare.with_retries(True),
        bare.with_defer(cf.Defer("x")),
        bare.with_memo(["x"]),
        bare.with_delay(1.5),
        bare.with_timeout(timedelta(seconds=1)),
        bare.with_requires({"gpu": True, "zone": ["a", "b"]}),
    ]
    assert [copy(1) for copy in copies] == ["1"] * len(copies)
    assert_type(fetch.with_memo(True)("x"), bytes)
    assert_type(length.with_delay(0.0).submit("abc", factor=2), cf.Execution[float])


def test_async_functions_have_the_awaited_type() -> None:
    assert_type(fetch("x"), bytes)
    assert_type(bare_fetch.submit("x"), cf.Execution[bytes])
    assert_type(remote_async(1), dict[str, int])
    assert_type(remote_async.submit(1).result(), dict[str, int])


async def awaited() -> None:
    assert_type(await fetch.submit("x"), bytes)
    with cf.suspense(timedelta(seconds=5)):
        winner, remaining = cf.select([fetch.submit("x"), bare_fetch.submit("y")])
    assert_type(await winner, bytes)
    assert_type([await handle for handle in remaining], list[bytes])


def test_poll_adds_the_type_of_the_default() -> None:
    handle = length.submit("abc")
    assert_type(handle.poll(), float | None)
    assert_type(handle.poll(1, default="none"), float | str)


def test_select() -> None:
    winner, remaining = cf.select([length.submit("abc")])
    assert_type(winner, cf.Execution[float])
    assert_type(remaining, list[cf.Execution[float]])
    assert_type(cf.select((bare.submit(n) for n in range(2)), cancel_remaining=True)[0].result(), str)


def suspending(when: datetime | None) -> int:
    """No result is missing, since `suspend` does not return."""
    with cf.suspense(), cf.suspense(1), cf.suspense(timedelta(1)):
        pass
    if when is None:
        cf.suspend()
    cf.suspend(when)


def test_progress() -> None:
    for item in cf.progress(["a"]):
        assert_type(item, str)


def running() -> None:
    assert_type(cf.run(length, "abc", factor=2), float)
    assert_type(cf.start(fetch, "x"), RunHandle[bytes])
    assert_type(cf.run(bare_fetch, "x"), bytes)
    assert_type(cf.start(bare.with_retries(1), 1).result(), str)
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
    length.with_delay(1).submit(5)  # type: ignore[arg-type]
    length.with_delay("1")  # type: ignore[arg-type]
    cf.select([1])  # type: ignore[arg-type]
    cf.suspense(datetime.now())  # type: ignore[arg-type]
    cf.suspend("5")  # type: ignore[arg-type]


@pytest.mark.slow
def test_mypy_agrees() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", __file__]
    check = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.slow
def test_pyright_agrees() -> None:
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, __file__]
    check = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
