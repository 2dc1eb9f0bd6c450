"""Scenarios: the core of them, however workers start and whether or not they are reused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, kinds

SETTINGS = {
    "fork": {"start_method": "fork"},
    "spawn": {"start_method": "spawn"},
    "fresh": {"isolation": "fresh"},
    "fresh-spawn": {"start_method": "spawn", "isolation": "fresh"},
}


@pytest.fixture(scope="module", params=SETTINGS)
def configured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchProject]:
    settings = SETTINGS[request.param]
    with scratch_project(tmp_path_factory.mktemp("configured") / "project", concurrency=2, **settings) as scratch:
        scratch.hold()
        yield scratch


@pytest.fixture
def engine(configured: ScratchProject) -> ScratchProject:
    configured.clear()
    return configured


def test_workers_start_as_configured(engine: ScratchProject) -> None:
    """SCHED-S03: and are reused, or not."""
    engine.write(
        "flow",
        """
        counter = 0

        @cf.task()
        def count():
            global counter
            counter += 1
            with open("/proc/self/cmdline") as file:
                return counter, "coflux.executor.worker" in file.read()

        @cf.workflow()
        def main():
            return [count(), count(), count()]
        """,
    )
    counts, spawned = zip(*engine.run("--concurrency", "1", "flow/main").value, strict=True)
    assert counts == ((1, 1, 1) if engine.environment.get("COFLUX_ISOLATION") == "fresh" else (1, 2, 3))
    assert set(spawned) == {engine.environment.get("COFLUX_START_METHOD") == "spawn"}


def test_calls_handles_errors_and_output(engine: ScratchProject) -> None:
    """CALL-S01, CALL-S06, ERR-S02, LOG-S08, SCHED-S01 in one run."""
    engine.write(
        "flow",
        """
        class Own(Exception):
            pass

        @cf.task()
        def double(x):
            print(f"doubling {x}")
            return 2 * x

        @cf.task(retries=1)
        def flaky(handle):
            if attempt("flaky") == 1:
                raise Own("first")
            return handle.result()

        @cf.task()
        def failing():
            raise Own("always")

        @cf.workflow()
        def main():
            values = [double(3), flaky(double.submit(4))]
            try:
                failing()
            except Own as error:
                values.append(str(error))
            return values
        """,
    )
    document = engine.document("flow/main")
    assert document["result"] == [6, 8, "always"]
    assert kinds(document, "flaky") == [["failed", "succeeded"]]
    assert engine.output(document["run"]["id"], 2) == ["doubling 3"]


def test_nested_calls_at_full_slots(engine: ScratchProject) -> None:
    """SCHED-S01: deeper than there are slots."""
    engine.write(
        "flow",
        """
        @cf.task()
        def down(n):
            return 0 if n == 0 else 1 + down(n - 1)

        @cf.workflow()
        def main():
            return down(4)
        """,
    )
    assert engine.run("flow/main").value == 4


def test_timeouts_crashes_and_cancels(engine: ScratchProject) -> None:
    """TIMEOUT-S01, ABAND-S01, CANCEL-S01."""
    engine.write(
        "flow",
        """
        @cf.task(timeout=0.2)
        def slow():
            time.sleep(20)

        @cf.task()
        def crash():
            os._exit(3)

        @cf.task()
        def cancelled():
            mark("start")
            time.sleep(20)

        @cf.workflow()
        def main():
            handles = [slow.submit(), crash.submit()]
            kinds = []
            for handle in handles:
                try:
                    handle.result()
                except cf.ExecutionTerminated as error:
                    kinds.append(type(error).__name__)
            last = cancelled.submit()
            while not attempt_started():
                time.sleep(0.01)
            last.cancel()
            try:
                last.result()
            except cf.ExecutionCancelled as error:
                kinds.append(type(error).__name__)
            return kinds

        def attempt_started():
            return os.path.exists(os.environ["COFLUX_TEST_MARKS"])
        """,
    )
    finished = engine.run("flow/main")
    assert finished.value == ["ExecutionTimeout", "ExecutionAbandoned", "ExecutionCancelled"], finished.err


def test_new_code_and_targets_of_scripts(engine: ScratchProject) -> None:
    """Behaviour 13.1 and 1.6."""
    for version in (1, 2):
        engine.write("flow", f"@cf.workflow()\ndef main():\n    return {version}\n")
        assert engine.run("flow/main").value == version
    code = "import coflux as cf\n@cf.task()\ndef f(n):\n    return n and n + f(n - 1)\nprint(cf.run(f, 3))\n"
    assert engine.python("-c", code).out == "6\n"
