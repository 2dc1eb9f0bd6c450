"""Bad command lines and readers that do not read: one clear message, the right exit status, and runs that go on."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.engine.scratch import COMMAND, ScratchProject, eventually

FLOW = """
    @cf.workflow()
    def main(number: int, flag: bool = False):
        return number

    @cf.task()
    def text(value: str):
        return len(value)

    @cf.workflow()
    def wordy(lines: int, size: int):
        for line in range(lines):
            print("line", line, "x" * 60)
        mark("said")
        return "y" * size
"""


def test_j01_what_does_not_exist_is_named_with_what_is_near(shared: ScratchProject) -> None:
    shared.write("flow", FLOW)
    for target, words in {
        "flow/mian": ("mian", "main"),
        "flwo/main": ("flwo",),
        "missing.py/main": ("missing.py",),
        "flow/": (),
        "": (),
    }.items():
        finished = shared.run(target, "1")
        assert (finished.status, finished.out) == (2, ""), target
        assert all(word in finished.err for word in words), finished.err
    for arguments in (("runs", "inspect", "Rzzzz"), ("logs", "Rzzzz"), ("runs", "result", "Rzzzz")):
        finished = shared.coflux(*arguments)
        assert (finished.status, finished.out) == (3, ""), arguments
        assert "Rzzzz" in finished.err
    assert shared.run("flow/main", "1").status == shared.run("flow/main", "2").status == 0
    ambiguous = shared.coflux("runs", "inspect", "R")
    assert ambiguous.status in (2, 3)
    assert len(ambiguous.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("five",), ("number", "five")),
        ((), ("number", "missing")),
        (("1", "true", "3"), ("3", "too many")),
        (("--number=1", "number=2"), ("number", "twice")),
        (("1", "--numbre", "2"), ("numbre", "number")),
        (("1", "--flag=perhaps"), ("flag", "perhaps")),
        (("-x",), ("-x",)),
    ],
)
def test_j02_bad_arguments_name_the_parameter(
    shared: ScratchProject, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    shared.write("flow", FLOW)
    finished = shared.run("flow/main", *arguments)
    assert (finished.status, finished.out) == (2, "")
    assert len(finished.err.splitlines()) == 1
    assert all(word in finished.err for word in words), finished.err


def test_j02_documents_of_arguments(shared: ScratchProject) -> None:
    shared.write("flow", FLOW)
    missing = shared.coflux("run", "--args", "@missing.json", "flow/main")
    assert (missing.status, "missing.json" in missing.err) == (2, True)
    (shared.root / "bad.json").write_text('{"number": ')
    bad = shared.coflux("run", "--args", "@bad.json", "flow/main")
    assert (bad.status, "JSON" in bad.err) == (2, True)
    (shared.root / "big.json").write_text(json.dumps({"value": "x" * (5 << 20)}))
    big = shared.coflux("run", "--no-ui", "--args", "@big.json", "flow/text")
    assert (big.status, big.value) == (0, 5 << 20)
    assert shared.run("flow/text", "--", "-x").value == 2
    assert shared.run("flow/text", "value=-x").value == 2
    assert shared.run("flow/main", "-5").value == -5


def test_j04_a_run_does_not_wait_for_who_reads_its_output(shared: ScratchProject) -> None:
    shared.write("flow", FLOW)
    running = shared.start("run", "--no-ui", "flow/wordy", "20000", str(1 << 20))
    # Nobody reads: the pipe is full after 64 KiB, and both the run and the command's loop must not mind.
    shared.marked("said", timeout=30)
    eventually(lambda: json.loads(shared.coflux("runs", "list", "--json").out)["runs"][0]["status"] == "succeeded", 30)
    assert running.poll() is None
    finished = shared.finish(running)
    assert (finished.status, finished.value) == (0, "y" * (1 << 20))
    assert finished.err.count("| line") == 20000


def test_j04_a_full_disk_for_standard_output_is_told(shared: ScratchProject) -> None:
    shared.write("flow", FLOW)
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [*COMMAND, "run", "--no-ui", "flow/main", "1"],
            cwd=shared.root,
            env=shared.environment,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert finished.returncode == 1
    assert os.strerror(28) in finished.stderr
    assert "Traceback" not in finished.stderr


def test_j08_modules_without_targets_and_modules_that_print(shared: ScratchProject) -> None:
    shared.write("empty", "x = 1\n")
    shared.write("chatty", "print('printed at import')\n\n@cf.workflow()\ndef main():\n    return 1\n")
    empty = shared.run("empty/main")
    assert (empty.status, empty.out) == (2, "")
    assert "no targets" in empty.err
    assert shared.run("empty.py").status == 2
    chatty = shared.run("chatty/main")
    assert (chatty.status, chatty.value) == (0, 1)
    assert "printed at import" in chatty.err
