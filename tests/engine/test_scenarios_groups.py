"""Worker groups: routing by what steps require, groups with an interpreter of their own, stubs imported on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, attempts, eventually


def configure(project: ScratchProject, text: str) -> None:
    (project.root / "coflux.toml").write_text(text)


def reason(project: ScratchProject, run: str, target: str) -> str:
    """What the only step of that name waits for; "" while there is none."""
    document = project.read(run)
    steps = [step for step in document["steps"] if step["target"].endswith(f"/{target}")]
    return str(steps[0]["executions"][-1]["reason"]) if steps else ""


def virtual_environment(path: Path, *, complete: bool) -> Path:
    """An environment with a module of its own. A complete one has our dependencies, too."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    [packages] = path.glob("lib/python*/site-packages")
    (packages / "only_there.py").write_text("ANSWER = 42\n")
    if complete:
        (packages / "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return virtual_environment(tmp_path_factory.mktemp("environments") / "complete", complete=True)


@pytest.fixture
def spawning(tmp_path: Path) -> Iterator[ScratchProject]:
    with scratch_project(tmp_path / "project", start_method="spawn") as scratch:
        yield scratch


WHERE = """
    def where():
        try:
            import only_there
        except ImportError:
            return [sys.prefix, None]
        return [sys.prefix, only_there.ANSWER]
"""
HERE = [sys.prefix, None]


# -- tags ------------------------------------------------------------------------------------------------------------


def test_a_step_runs_only_where_what_it_requires_is_provided(project: ScratchProject) -> None:
    """TAGS-S01"""
    configure(project, '[[workers]]\nname = "gpu"\nprovides = { gpu = ["A100", "H100"] }\nconcurrency = 1\n')
    project.write(
        "flow",
        """
        @cf.task(requires={"gpu": "A100"})
        def held(name):
            mark(name)
            gate(name)

        @cf.task
        def plain():
            return "plain"

        @cf.workflow
        def main():
            first, second = held.submit("one"), held.submit("two")
            mark(plain())
            first.result(), second.result()
        """,
    )
    process = project.start("run", "flow/main")
    project.marked("one")
    project.marked("plain")
    eventually(lambda: attempts(project.read(project.only_run()), "plain")[0]["status"] == "succeeded")
    assert not project.marks("two"), "there is one GPU"
    project.open_gate("one")
    project.marked("two")
    project.open_gate("two")
    assert project.finish(process).status == 0


UNROUTABLE = """
    @cf.task(requires={"gpu": "A100"})
    def train():
        mark("train")

    @cf.task
    def plain():
        mark("plain")
        gate("plain")

    @cf.workflow
    def main():
        plain.submit()
        train()
"""


def test_what_no_group_can_run_says_so_while_the_rest_gets_on(project: ScratchProject) -> None:
    """TAGS-S01"""
    configure(project, '[[workers]]\nname = "cpu"\nprovides = { gpu = "T4" }\n')
    project.write("flow", UNROUTABLE)
    process = project.start("run", "flow/main")
    project.marked("plain")
    run = project.only_run()
    expected = "no worker group provides gpu=A100 (groups: default, cpu)"
    eventually(lambda: reason(project, run, "train") == expected)
    assert process.poll() is None, "something of it gets on"
    project.open_gate("plain")
    finished = project.finish(process)
    assert finished.status == 1
    assert f"nothing of run {run} can ever get on: {run}:3:1 flow/train: {expected}" in finished.err
    assert finished.out == ""
    assert not project.marks("train")


def test_a_script_is_told_that_its_run_can_never_get_on(project: ScratchProject) -> None:
    project.write("flow", UNROUTABLE)
    project.open_gate("plain")
    project.write(
        "script",
        """
        import flow
        try:
            cf.run(flow.main)
        except cf.ExecutionCancelled as error:
            print(error)
        """,
    )
    finished = project.python("script.py")
    assert "can ever get on" in finished.out, finished.err
    assert "no worker group provides gpu=A100 (groups: default)" in finished.out


def test_a_timeout_goes_before_the_end_of_a_run_that_is_stuck(project: ScratchProject) -> None:
    """It is progress: the code may go on without what was never to come."""
    project.write(
        "flow",
        """
        @cf.task(requires={"gpu": True})
        def train():
            pass

        @cf.task(timeout=0.3)
        def patient():
            train()

        @cf.workflow
        def main():
            try:
                patient()
            except cf.ExecutionTimeout:
                return "without"
        """,
    )
    assert project.run("flow/main").value == "without"


def test_what_no_group_can_run_is_the_same_after_a_restart(project: ScratchProject) -> None:
    project.write("flow", UNROUTABLE)
    project.open_gate("plain")
    run = project.detach("flow/main")
    eventually(lambda: "no worker group" in reason(project, run, "train"))
    os.kill(project.supervisor_pid(), 9)
    eventually(lambda: not project.processes())
    configure(project, "[[workers]]\nprovides = { gpu = 'A100' }\n")
    project.hold()
    project.marked("train")
    project.settled(run)


TAGGED = (
    WHERE
    + """
    @cf.task
    def plain():
        return where()

    @cf.task(requires={"gpu": []})
    def anywhere():
        return where()

    @cf.task(requires={"disk": "ssd"})
    def other():
        return where()

    @cf.workflow(requires={"gpu": True})
    def main():
        return [where(), plain(), anywhere()]
"""
)


def test_a_workflows_requirements_are_its_runs_default(project: ScratchProject, environment: Path) -> None:
    """TAGS-S02, TAGS-S03"""
    configure(project, f'[[workers]]\nname = "gpu"\npython = "{environment}"\nprovides = {{ gpu = "A100" }}\n')
    project.write("flow", TAGGED)
    there = [str(environment), 42]
    assert project.run("flow/main").value == [there, there, HERE]


def test_a_group_that_accepts_a_tag_takes_nothing_else(project: ScratchProject) -> None:
    """TAGS-S04"""
    configure(
        project,
        """
        [[workers]]
        name = "urgent"
        accepts = { priority = "high" }
        [[workers]]
        name = "default"
        concurrency = 1
        """,
    )
    project.write(
        "flow",
        """
        @cf.task
        def plain(name):
            mark(name)
            gate(name)

        @cf.task(requires={"priority": "high"})
        def urgent():
            mark("urgent")

        @cf.workflow
        def main():
            steps = [plain.submit("one"), plain.submit("two")]
            urgent()
            for step in steps:
                step.result()
        """,
    )
    process = project.start("run", "flow/main")
    project.marked("one")
    project.marked("urgent")
    eventually(lambda: attempts(project.read(project.only_run()), "urgent")[0]["status"] == "succeeded")
    assert not project.marks("two"), "the other group is idle, and not for it"
    project.open_gate("one")
    project.open_gate("two")
    assert project.finish(process).status == 0


# -- interpreters ----------------------------------------------------------------------------------------------------

HEAVY = (
    "import only_there\n"
    + WHERE.replace("\n    ", "\n")
    + """
@cf.task
def part():
    return where()

@cf.workflow
def main():
    return [where(), part()]
"""
)
STUBS = (
    WHERE
    + """
    @cf.stub("heavy")
    def part():
        return "the stub's body"

    @cf.task
    def here():
        return where()

    @cf.workflow
    def main():
        return [part(), here(), part()]
"""
)


def heavy(project: ScratchProject, environment: Path, **more: Any) -> None:
    configure(project, f'[[workers]]\nname = "heavy"\nmodules = ["heavy"]\npython = "{environment}"\n')
    project.write("heavy", HEAVY)
    project.write("flow", STUBS)


@pytest.mark.parametrize("target", ["heavy/main", "heavy.py/main"])
def test_a_module_is_imported_by_the_interpreter_of_its_group(
    project: ScratchProject, environment: Path, target: str
) -> None:
    heavy(project, environment)
    there = [str(environment), 42]
    assert project.run(target).value == [there, there]


def test_a_stub_leads_to_another_interpreter_and_the_rest_stays(project: ScratchProject, environment: Path) -> None:
    heavy(project, environment)
    there = [str(environment), 42]
    assert project.run("flow/main").value == [there, HERE, there]


def test_workers_of_another_interpreter_can_be_spawned(spawning: ScratchProject, environment: Path) -> None:
    heavy(spawning, environment)
    there = [str(environment), 42]
    assert spawning.run("flow/main").value == [there, HERE, there]


def test_discover_imports_each_module_where_it_would_run(project: ScratchProject, environment: Path) -> None:
    heavy(project, environment)
    finished = project.coflux("discover", "heavy", "flow")
    assert finished.status == 0, finished.err
    assert "part()" in finished.out


def test_an_interpreter_that_lacks_what_we_need_says_what_to_install(project: ScratchProject, tmp_path: Path) -> None:
    bare = virtual_environment(tmp_path / "bare", complete=False)
    heavy(project, bare)
    finished = project.run("flow/main")
    assert finished.status == 1
    python = f"{bare}/bin/python"
    lacking = f"{python} lacks what coflux needs in a worker group, msgspec, blake3, dill"
    assert f"{lacking}: {python} -m pip install msgspec blake3 dill" in finished.err
    finished = project.run("heavy/main")
    assert finished.status == 2
    assert lacking in finished.err
    assert lacking in project.coflux("doctor").out


def test_what_is_no_interpreter_says_so(project: ScratchProject) -> None:
    configure(project, '[[workers]]\nmodules = ["heavy"]\npython = "/bin/true"\n')
    project.write("heavy", HEAVY)
    finished = project.run("heavy/main")
    assert finished.status == 2
    assert "/bin/true ended before it could import anything: is it a Python interpreter?" in finished.err


def test_doctor_lists_the_groups_and_tries_them(project: ScratchProject, environment: Path) -> None:
    heavy(project, environment)
    with (project.root / "coflux.toml").open("a") as file:
        file.write('provides = { gpu = "A100" }\nconcurrency = 2\n[[workers]]\nmodules = ["nothing"]\n')
    out = project.coflux("doctor").out
    assert f"heavy; 2 at a time; python {environment}/bin/python; modules heavy; gpu=A100\n" in out
    assert "workers 2; 8 at a time; modules nothing\n" in out
    assert "No module named 'nothing'" in out
    assert "default; 8 at a time\n" in out


# -- stubs -----------------------------------------------------------------------------------------------------------


def test_a_stub_runs_what_it_stands_for(project: ScratchProject) -> None:
    """STUB-S01, STUB-S02, STUB-S03"""
    project.write("b", "@cf.task\ndef work(x):\n    return x + 1\n")
    project.write(
        "a",
        """
        @cf.stub("b")
        def work(x):
            mark("body")
            return 4

        @cf.workflow
        def main():
            return [work(1), "b" in sys.modules]
        """,
    )
    assert project.run("a/main").value == [2, False]
    assert project.marks("body") == []
    assert "work(" not in project.coflux("discover", "a").out


def test_a_stubs_module_is_as_new_as_its_run(project: ScratchProject) -> None:
    project.hold()
    project.write("a", "@cf.stub('b')\ndef work(): ...\n\n@cf.workflow\ndef main():\n    return work()\n")
    for number in (1, 22, 333):
        project.write("b", f"@cf.task\ndef work():\n    return {number}\n")
        assert project.run("a/main").value == number
        assert project.run("a/main").value == number


def test_a_stub_has_the_requirements_and_the_timeout_of_its_target(project: ScratchProject, environment: Path) -> None:
    configure(project, f'[[workers]]\nname = "gpu"\npython = "{environment}"\nprovides = {{ gpu = "A100" }}\n')
    project.write(
        "b",
        WHERE + '    @cf.task(requires={"gpu": True}, timeout=0.3)\n    def work(slow=False):\n'
        "        while slow:\n            time.sleep(0.01)\n        return where()\n",
    )
    project.write(
        "a",
        """
        @cf.stub("b")
        def work(slow=False): ...

        @cf.workflow
        def main():
            try:
                work.with_requires({})(slow=True)
            except cf.ExecutionTimeout:
                return [work(), work.with_requires({"gpu": []})()]
        """,
    )
    assert project.run("a/main").value == [[str(environment), 42], HERE]


WRONG = """
    @cf.stub("b", type="workflow")
    def work(): ...

    @cf.stub("b")
    def wrok(): ...

    @cf.stub("bb")
    def nowhere(): ...

    @cf.stub("broken")
    def cannot(): ...

    @cf.task
    def fine():
        return "fine"

    @cf.workflow
    def main(name):
        step = globals()[name].with_delay(60).submit()
        assert fine() == "fine"
        return step.result()
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrok", "ExecutionError: module b has no target 'wrok'; it has work"),
        ("work", 'ExecutionError: b/work is a task, and the stub says workflow: declare it with type="task"'),
        ("nowhere", "ExecutionError: bb/nowhere: there is no module 'bb'; did you mean 'b'?"),
        ("cannot", "RuntimeError: broken/cannot: module broken does not import: RuntimeError: no luck"),
    ],
)
def test_a_stub_of_nothing_fails_at_once(project: ScratchProject, name: str, message: str) -> None:
    """Long before its time: it could never be run."""
    project.write("b", "@cf.task\ndef work(): ...\n")
    project.write("broken", "raise RuntimeError('no luck')\n")
    project.write("a", WRONG)
    finished = project.run("a/main", name)
    assert finished.status == 1
    assert message in finished.err


def test_while_a_stubs_module_is_imported_the_others_get_on(project: ScratchProject) -> None:
    project.write("b", "mark('importing')\ngate('b')\n@cf.task\ndef work():\n    return 'b'\n")
    project.write(
        "a",
        """
        @cf.stub("b")
        def work(): ...

        @cf.task
        def other():
            return "other"

        @cf.workflow
        def main():
            steps = [work.submit() for _ in range(20)]
            mark(other())
            return {step.result() for step in steps} == {"b"}
        """,
    )
    process = project.start("run", "a/main", COFLUX_CONCURRENCY="1")
    project.marked("importing")
    project.marked("other")
    document = project.read(project.only_run())
    reasons = {step["executions"][0]["reason"] for step in document["steps"] if step["target"] == "b/work"}
    assert reasons == {"importing module b"}
    project.open_gate("b")
    assert project.finish(process).value is True
    assert len(project.marks("importing")) == 1


def test_a_module_host_that_dies_is_replaced_where_it_was(project: ScratchProject, environment: Path) -> None:
    """Its steps are tried again by the same interpreter, and the rest of the run does not notice."""
    heavy(project, environment)
    project.write(
        "flow",
        """
        @cf.stub("heavy", retries=1)
        def held(): ...

        @cf.workflow
        def main():
            return [held(), held()]
        """,
    )
    (project.root / "heavy.py").write_text(
        project.write("prelude", "").read_text()
        + HEAVY
        + "@cf.task\ndef held():\n    mark(f'host {os.getppid()}')\n    gate('go')\n    return where()\n"
    )
    process = project.start("run", "flow/main")
    [mark] = eventually(project.marks)
    os.kill(int(mark.text.removeprefix("host ")), 9)
    eventually(lambda: len(project.marks()) == 2)
    project.open_gate("go")
    finished = project.finish(process)
    assert finished.value == [[str(environment), 42]] * 2, finished.err
    hosts = {mark.text for mark in project.marks()}
    assert len(hosts) == 2
    assert attempts(project.read(project.only_run()), "main")[0]["status"] == "succeeded"
