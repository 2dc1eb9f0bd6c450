"""Values that are hard to send: what is sent arrives equal, what cannot be sent is named with its place."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.engine.scratch import ScratchProject, eventually, kinds

OUTCOME = """
    def outcome(handle):
        try:
            return handle.result()
        except cf.ExecutionError as error:
            return [type(error).__name__, str(error)]
"""


def test_d01_a_result_that_cannot_be_sent_fails_with_its_path(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        OUTCOME
        + """
    import socket, threading

    @cf.task()
    def bad(kind):
        if kind == "lock":
            return {"a": [threading.Lock()]}
        if kind == "socket":
            return {"a": [socket.socket()]}
        if kind == "generator":
            return {"a": [x for x in "ab"], "b": (x for x in "ab")}
        if kind == "file":
            return [open("/dev/null")]
        if kind == "module":
            return [os.path]

    @cf.task()
    def function():
        return [lambda x: x + 1]

    @cf.workflow()
    def main():
        outcomes = {kind: outcome(bad.submit(kind)) for kind in ("lock", "socket", "generator", "file", "module")}
        return [outcomes, function()[0](1)]
    """,
    )
    outcomes, two = shared.run("flow/main").value
    assert {kind: name for kind, (name, _) in outcomes.items()} == dict.fromkeys(outcomes, "ExecutionError")
    assert "result['a'][0]" in outcomes["lock"][1]
    assert "lock" in outcomes["lock"][1]
    assert "result['a'][0]" in outcomes["socket"][1]
    assert "result['b']" in outcomes["generator"][1]
    assert "result[0]" in outcomes["file"][1]
    assert "result[0]" in outcomes["module"][1]
    assert two == 2


def test_d02_an_argument_that_cannot_be_sent_fails_at_the_call(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import threading

        @cf.task()
        def take(value):
            mark("ran")

        @cf.workflow()
        def main():
            try:
                take.submit({"key": threading.Lock()})
            except Exception as error:
                return str(error)
        """,
    )
    document = shared.document("flow/main")
    assert "value['key']" in document["result"]
    assert [step["target"] for step in document["steps"]] == ["flow/main"]
    assert shared.marks("ran") == []


def test_d03_a_big_result_does_not_pass_through_the_engine(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def produce(size):
            return bytes(size)

        @cf.workflow()
        def main(size: int):
            mark("before")
            gate("measured")
            length = len(produce(size))
            mark("after")
            gate("measured again")
            return length
        """,
    )
    running = project.start("run", "--no-ui", "flow/main", str(256 << 20))
    project.marked("before")
    engine = psutil.Process(project.supervisor_pid())
    before = engine.memory_info().rss
    project.open_gate("measured")
    project.marked("after", timeout=60)
    assert engine.memory_info().rss - before < 64 << 20
    project.open_gate("measured again")
    assert project.finish(running).value == 256 << 20


def test_d05_d06_d08_d13_odd_values_arrive_equal(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import math

        @cf.task()
        def echo(value):
            return value

        @cf.task()
        def one():
            return 1

        @cf.task()
        def handles():
            return {"deep": [{"handle": one.submit()}]}

        @cf.task()
        def nested(depth):
            value = []
            for _ in range(depth):
                value = [value]
            return value

        @cf.workflow()
        def main():
            exact = [2**70, -0.0, 1j, "\\udcff", b"\\x00", "", float("inf"), -float("inf"), 1.5, None]
            exact.append({1: "int", "1": "str"})
            for value in exact:
                back = echo(value)
                assert back == value and type(back) is type(value), value
            assert math.copysign(1, echo(-0.0)) == -1
            assert math.isnan(echo(float("nan")))
            assert list(echo({"z": 1, "a": 2, (3, 4): 5, None: 6})) == ["z", "a", (3, 4), None]

            recursive = [1]
            recursive.append(recursive)
            back = echo(recursive)
            assert back[0] == 1 and back[1] is back
            table = {}
            table["self"] = table
            back = echo(table)
            assert back["self"] is back

            assert handles()["deep"][0]["handle"].result() == 1
            return exact

        @cf.workflow()
        def deep():
            try:
                return "arrived" if nested(100_000) else "lost"
            except cf.ExecutionError as error:
                return str(error)

        @cf.workflow()
        def surrogate():
            return ["\\udcff", float("nan"), {"z": 1, "a": 2}]
        """,
    )
    document = shared.document("flow/main")
    assert document["run"]["status"] == "succeeded", document["error"]
    deep = shared.run("flow/deep")
    assert deep.status == 0
    assert deep.value == "arrived" or ("result" in deep.value and "deep" in deep.value)
    odd = shared.document("flow/surrogate")
    assert odd["run"]["status"] == "succeeded"
    assert list(odd["result"][2]) == ["z", "a"]
    assert "NaN" in str(odd["result"][1]).replace("nan", "NaN")


def test_d09_arrays_and_frames_arrive_equal(shared: ScratchProject) -> None:
    pytest.importorskip("numpy")
    shared.write(
        "flow",
        """
        import numpy as np

        @cf.task()
        def echo(value):
            return value

        @cf.workflow()
        def main():
            arrays = [
                np.array(5.0),
                np.arange(6).reshape(2, 3),
                np.asfortranarray(np.arange(6.0).reshape(2, 3)),
                np.array([None, "x", [1]], dtype=object),
                np.arange(10)[::2],
                np.zeros((0, 3)),
                np.array(["2020-01-01"], dtype="datetime64[D]"),
            ]
            for array in arrays:
                back = echo(array)
                assert back.dtype == array.dtype and back.shape == array.shape
                assert back.flags.f_contiguous == array.flags.f_contiguous or array.base is not None
                assert (back == array).all()
            scalar = echo(np.float32(1.5))
            assert scalar == 1.5 and type(scalar) is np.float32
        """,
    )
    finished = shared.run("flow/main")
    assert finished.status == 0, finished.err


def test_d09_frames_arrive_equal(shared: ScratchProject) -> None:
    pytest.importorskip("pandas")
    shared.write(
        "flow",
        """
        import pandas as pd

        @cf.task()
        def echo(value):
            return value

        @cf.workflow()
        def main():
            frame = pd.DataFrame(
                {"c": pd.Categorical(["a", "b"]), "t": pd.to_datetime(["2020", "2021"]).tz_localize("Europe/Rome")},
                index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)]),
            )
            pd.testing.assert_frame_equal(echo(frame), frame)
        """,
    )
    finished = shared.run("flow/main")
    assert finished.status == 0, finished.err


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_d14_a_generator_function_as_a_task_never_hangs(shared: ScratchProject, kind: str) -> None:
    shared.write(
        "flow",
        f"""
        @cf.task()
        {"async " if kind.startswith("async") else ""}def numbers():
            yield 1

        @cf.workflow()
        def main():
            return numbers()
        """,
    )
    finished = shared.run("flow/main")
    assert finished.status in (1, 2)
    assert "generator" in finished.err


def test_d16_ten_thousand_results_leave_no_descriptors_and_no_files(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def same(x):
            return x

        @cf.workflow()
        def main(count: int):
            mark("before")
            gate("counted")
            total = sum(handle.result() for handle in [same.submit(x) for x in range(count)])
            mark("after")
            gate("counted again")
            return total
        """,
    )
    count = 10_000
    running = project.start("run", "--no-ui", "flow/main", str(count), COFLUX_CONCURRENCY="2")
    # Its output, a line a step, is more than a pipe holds: somebody must read it.
    project.marked("before")
    engine = psutil.Process(project.supervisor_pid())
    descriptors = engine.num_fds()
    project.open_gate("counted")
    reader = project.drained(running)
    project.marked("after", timeout=90)
    eventually(lambda: engine.num_fds() <= descriptors + 40)  # a few more workers
    working = [path for path in project.temporary.rglob("*") if path.name.startswith("R")]
    assert len(working) < 20  # one a worker
    project.open_gate("counted again")
    assert reader().value == sum(range(count))
    blobs = [path for path in (Path(project.project.data_dir) / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) < 10
    assert len(kinds(project.read(project.only_run()), "same")) == count
