"""Scenarios: logs and output (LOG)."""

from __future__ import annotations

import time
from typing import Any

from tests.engine.scratch import SLACK, ScratchProject


def entries(project: ScratchProject, identifier: str) -> list[dict[str, Any]]:
    """What `coflux logs --json` gives, without what differs from run to run."""
    logs: list[dict[str, Any]] = project.coflux("logs", identifier, "--json").value["logs"]
    return logs


def texts(project: ScratchProject, identifier: str) -> list[tuple[str, str]]:
    return [(entry["level"], entry["text"]) for entry in entries(project, identifier)]


def test_the_four_log_functions(shared: ScratchProject) -> None:
    """LOG-S01, LOG-S02, LOG-S03: template and values are stored apart, further values are appended in order."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            cf.log_debug("one")
            cf.log_info("{count} bottles of {drink}", count=99, drink="beer")
            cf.log_warning("{x} and {missing}", x="{y}", y=1, a=[2.0, None])
            cf.log_error(only="values")
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    debug, info, warning, error = entries(shared, run)
    assert [entry["level"] for entry in (debug, info, warning, error)] == ["debug", "info", "warning", "error"]
    assert debug["text"] == "one"
    assert info["text"] == "99 bottles of beer"
    assert (info["template"], info["values"]) == ("{count} bottles of {drink}", {"count": 99, "drink": "beer"})
    assert warning["text"] == "{y} and {missing} y=1 a=[2.0, None]"
    assert error["text"] == "only=values"


def test_values_of_log_entries_keep_their_types(shared: ScratchProject) -> None:
    """LOG-S04, assets apart."""
    shared.write(
        "flow",
        """
        from decimal import Decimal

        @cf.task()
        def child():
            pass

        @cf.workflow()
        def main():
            cf.log_info("values", tuple=(1, "a"), dict={"b": {"c": [True]}}, none=None, float=2.0, text="x")
            cf.log_info("shown", set={1}, decimal=Decimal("1.50"), handle=child.submit())
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    values, shown = entries(shared, run)
    assert values["values"] == {
        "tuple": [1, "a"],
        "dict": {"b": {"c": [True]}},
        "none": None,
        "float": 2.0,
        "text": "x",
    }
    assert "set={1}" in shown["text"]
    assert "1.50" in shown["text"]
    assert "flow/child" in shown["text"]


def test_lines_of_output(shared: ScratchProject) -> None:
    """LOG-S05, LOG-S06, adapted: a flush does not cut a line (behaviour 9.2)."""
    shared.write(
        "flow",
        """
        import subprocess

        @cf.workflow()
        def main():
            print("a\\n\\nb")
            print("x", end="")
            print("y")
            print("p", end="", flush=True)
            print("q")
            subprocess.run(["echo", "from a child process"])
            os.write(1, b"from below Python\\n")
            print("unfinished", end="")
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    lines = ["a", "b", "xy", "pq", "from a child process", "from below Python", "unfinished"]
    assert texts(shared, run) == [("stdout", line) for line in lines]


def test_what_is_written_to_stderr(shared: ScratchProject) -> None:
    """LOG-S07."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            print("to stderr", file=sys.stderr)
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    assert texts(shared, run) == [("stderr", "to stderr")]


def test_entries_belong_to_their_execution(shared: ScratchProject) -> None:
    """LOG-S08: also of executions that one process runs one after the other."""
    shared.write(
        "flow",
        """
        @cf.task(retries=1)
        def child():
            cf.log_info("from attempt {n}", n=attempt("child"))
            print("printed")
            if len(open(os.environ["COFLUX_TEST_MARKS"]).readlines()) == 1:
                raise ValueError("no")

        @cf.workflow()
        def main():
            cf.log_info("from the parent")
            child()
            print("after the child")
        """,
    )
    run = shared.document("--concurrency", "1", "flow/main")["run"]["id"]
    assert texts(shared, f"{run}:2:1") == [("info", "from attempt 1"), ("stdout", "printed")]
    assert texts(shared, f"{run}:2:2") == [("info", "from attempt 2"), ("stdout", "printed")]
    assert texts(shared, f"{run}:1") == [("info", "from the parent"), ("stdout", "after the child")]
    assert len(texts(shared, run)) == 6


def test_following_shows_lines_as_they_come(shared: ScratchProject) -> None:
    """CLI-S06."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            for number in range(3):
                print(f"line {number}")
                mark(f"{number}")
                gate(f"{number}")
            print("a prompt without an end: ", end="", flush=True)
            mark("3")
            gate("3")
        """,
    )
    run = shared.detach("flow/main")
    follower = shared.start("logs", "--follow", run)
    assert follower.stdout is not None
    for number in range(4):
        assert ("line" if number < 3 else "prompt") in follower.stdout.readline()
        read_at = time.monotonic()
        (mark,) = shared.marked(f"{number}")
        assert number == 0 or read_at - mark.at < 0.3 * SLACK  # the command had to start for the first
        shared.open_gate(f"{number}")
    assert shared.finish(follower).status == 0


def test_a_script_sees_what_its_run_prints(shared: ScratchProject) -> None:
    """Also of child runs, while it waits, and what was printed before it did."""
    shared.write(
        "flow",
        """
        import logging

        @cf.task()
        def task():
            print("from a {task}")
            cf.log_info("{n} items", n=3)
            logging.getLogger("app").warning("{careful}")

        @cf.workflow()
        def child():
            print("from a child run", file=sys.stderr)

        @cf.workflow()
        def main():
            task()
            child()
            mark("printed")
            gate("go on")
            print("last", end="")
        """,
    )
    script = """
import sys, contextlib, io, coflux as cf, flow
run = cf.start(flow.main)
flow.gate("waits")
with contextlib.redirect_stderr(io.StringIO()) as shown:
    run.result()
print(shown.getvalue(), end="")
"""
    shared.write("script", script, prelude=False)
    process = shared.start_python("script.py")
    shared.marked("printed")
    shared.open_gate("waits")
    shared.open_gate("go on")
    finished = shared.finish(process)
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    assert sorted(lines[:4]) == ["from a child run", "from a {task}", "info: 3 items", "warning app: {careful}"]
    assert lines[4:] == ["last"]
