"""Modules that do something strange while they are imported: one clear message, and nothing goes on behind it."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.engine.scratch import ScratchProject, eventually


def test_a_file_that_changes_at_every_import_is_named(project: ScratchProject) -> None:
    """It would be imported again for ever."""
    helper = project.write("helper", "", prelude=False)
    project.write(
        "flow",
        """
        import helper
        with open(helper.__file__, "a") as file:
            file.write("# again\\n")

        @cf.workflow()
        def main():
            return 1
        """,
    )
    finished = project.run("flow/main")
    assert finished.status == 2
    assert f"{helper} changes while it is imported" in finished.err
    assert helper.read_text().count("again") < 10


def test_a_run_that_an_import_starts_is_refused_at_once(project: ScratchProject) -> None:
    """The import would wait for a run that waits for the import."""
    flow = project.write(
        "flow",
        """
        @cf.workflow()
        def main():
            return 1

        print(cf.run(main))
        """,
    )
    finished = project.run("flow/main")
    assert finished.status == 2
    assert f"{flow}:" in finished.err
    assert 'if __name__ == "__main__":' in finished.err


def test_two_files_of_one_module_name_are_an_error(project: ScratchProject) -> None:
    first = project.write("a/flow", "@cf.workflow()\ndef first():\n    return 1\n")
    second = project.write("b/flow", "@cf.workflow()\ndef second():\n    return 2\n")
    found = project.coflux("discover", "a/flow.py", "b/flow.py")
    assert found.status == 2
    assert "first" in found.out
    assert f"{second} and {first} would both be the module 'flow'" in found.out + found.err


def test_an_argument_that_is_no_text_is_refused(project: ScratchProject) -> None:
    project.write("flow", "@cf.workflow()\ndef main(word: str):\n    return word\n")
    word = os.fsdecode(b"\xff")
    for arguments in (("run", "flow/main", word), ("runs", "inspect", word), ("logs", word)):
        finished = project.coflux(*arguments)
        assert finished.status == 2
        assert "not UTF-8" in finished.err
        assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("deed", "evidence"),
    [
        ("os._exit(3)", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("while True: pass", "importing took longer than 1.5 s"),
        ("time.sleep(1000)", "importing took longer than 1.5 s"),
    ],
    ids=["exit", "segmentation fault", "abort", "endless loop", "sleep"],
)
def test_i02_an_import_that_ends_the_process_names_file_and_line(
    project: ScratchProject, deed: str, evidence: str
) -> None:
    helper = project.write("helper", f"def deed():\n    {deed}\n\n\ndeed()\n")
    project.write("flow", "import json, helper\n\n@cf.workflow()\ndef main():\n    return 1\n")
    place = f"{helper}:{helper.read_text().splitlines().index(f'    {deed}') + 1}"
    finished = project.run("flow/main", COFLUX_IMPORT_TIMEOUT="1.5")
    assert finished.status == 2
    assert f"module flow does not import ({place})" in finished.err
    assert evidence in finished.err
    assert "flow.py" in finished.err  # the stack leads to it
    assert "importlib" not in finished.err
    found = project.coflux("discover", "flow", COFLUX_IMPORT_TIMEOUT="1.5")
    assert found.status == 2
    assert place in found.err


def test_i02_an_import_that_is_killed_names_the_file(project: ScratchProject) -> None:
    """As by the kernel, when memory runs out: no stack can be had, but the file that was being executed is known."""
    project.write("helper", "")
    flow = project.write("flow", "import helper, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    finished = project.run("flow/main")
    assert finished.status == 2
    assert f"module flow does not import ({flow})" in finished.err
    assert "SIGKILL" in finished.err


def test_what_an_import_prints_of_a_caught_error_shows_no_frames_of_the_engine(project: ScratchProject) -> None:
    project.write("helper", "1 / 0\n", prelude=False)
    project.write(
        "flow",
        """
        import traceback
        try:
            import helper
        except ZeroDivisionError:
            traceback.print_exc()

        @cf.workflow()
        def main():
            return 1
        """,
    )
    finished = project.run("flow/main")
    assert finished.value == 1
    assert "helper.py" in finished.err
    assert "importlib" not in finished.err


SLOW_IMPORT = """
    mark("importing")
    gate("import")

    @cf.workflow()
    def main():
        return 1
"""


@pytest.mark.parametrize("command", [("run", "--no-ui", "flow/main"), ("discover", "flow")], ids=["run", "discover"])
def test_an_import_that_nobody_waits_for_any_more_is_ended(project: ScratchProject, command: tuple[str, ...]) -> None:
    project.hold()
    project.write("flow", SLOW_IMPORT)
    client = project.start(*command)
    [importing] = project.marked("importing")
    project.kill(client)
    eventually(lambda: not psutil.pid_exists(importing.pid), timeout=5.0)
    project.open_gate("import")
    assert project.run("flow/main").value == 1


def test_an_import_goes_on_for_the_other_client_that_waits_for_it(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", SLOW_IMPORT)
    leaving, staying = (project.start("run", "--no-ui", "flow/main") for _ in range(2))
    project.marked("importing")
    project.write("other", "@cf.workflow()\ndef main():\n    return 2\n")
    project.run("other/main")  # by now the engine has heard of both
    project.kill(leaving)
    leaving.wait()
    project.run("other/main")  # and of the end
    project.open_gate("import")
    assert project.finish(staying).value == 1
    assert len(project.marks("importing")) == 1


def test_an_import_that_a_run_depends_on_goes_on(project: ScratchProject) -> None:
    """The run's module host was lost, and its successor is being imported when another client comes and goes."""
    project.hold()
    project.write("other", "@cf.workflow()\ndef main():\n    return 2\n")
    project.write(
        "flow",
        """
        if attempt("importing") > 1:
            gate("import")

        @cf.workflow(retries=1)
        def main():
            if attempt("main") == 1:
                gate("never")
            return 1
        """,
    )
    run = project.detach("flow/main")
    [main] = project.marked("main")
    os.kill(psutil.Process(main.pid).ppid(), signal.SIGKILL)
    project.marked("importing", 2)
    client = project.start("run", "--no-ui", "flow/main")
    project.run("other/main")
    project.kill(client)
    client.wait()
    project.run("other/main")
    project.open_gate("import")
    assert project.settled(run)["result"] == 1
    assert len(project.marks("importing")) == 2


SLOW_ARGUMENT = """
    from dataclasses import dataclass

    @dataclass
    class Slow:
        name: str

        def __post_init__(self):
            mark("binding")
            gate("bind")

    @cf.workflow()
    def main(slow: Slow):
        return slow.name
"""


def test_arguments_that_nobody_waits_for_any_more_are_not_read_to_the_end(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", SLOW_ARGUMENT)
    client = project.start("run", "--no-ui", "flow/main", '{"name": "a"}')
    [binding] = project.marked("binding")
    project.kill(client)
    eventually(lambda: not psutil.pid_exists(binding.pid), timeout=5.0)
    project.open_gate("bind")
    assert project.run("flow/main", '{"name": "b"}').value == "b"


def test_a_file_that_changes_while_arguments_are_read_disturbs_nobody(project: ScratchProject) -> None:
    project.hold()
    flow = project.write("flow", SLOW_ARGUMENT)
    first = project.start("run", "--no-ui", "flow/main", '{"name": "first"}')
    project.marked("binding")
    flow.write_text(flow.read_text().replace("slow.name", "slow.name.upper()"))
    second = project.start("run", "--no-ui", "flow/main", '{"name": "second"}')
    project.marked("binding", 2)
    project.open_gate("bind")
    assert project.finish(first).value == "first"
    assert project.finish(second).value == "SECOND"


def test_a_detached_run_whose_client_is_lost_during_the_import_is_started(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", SLOW_IMPORT)
    client = project.start("run", "--detach", "flow/main")
    project.marked("importing")
    project.kill(client)
    client.wait()
    project.write("other", "@cf.workflow()\ndef main():\n    return 2\n")
    project.run("other/main")  # by now the engine has heard of the end
    project.open_gate("import")
    eventually(lambda: "flow/main" in project.coflux("runs", "list").out)


def test_i11_a_module_named_like_one_of_the_standard_library_does_not_reach_the_engine(project: ScratchProject) -> None:
    """The engine, and packages, import modules of those names later than the user's code."""
    paths = [project.write(name, "X = 1\n", prelude=False) for name in ("json", "tempfile", "asyncio", "random")]
    project.write(
        "flow",
        """
        import enum, tempfile

        class E(enum.Enum):
            A = 1

        @cf.task()
        async def task(value):
            return value

        @cf.workflow()
        def main():
            with tempfile.TemporaryDirectory():
                return [1, task(E.A), task(lambda: 2)()]
        """,
    )
    for method in ("fork", "spawn"):
        finished = project.run("flow/main", COFLUX_START_METHOD=method)
        assert finished.status == 0, finished.err
        assert finished.out.startswith("[1,"), finished.out
        for path in paths:
            assert finished.err.count(f"warning: {path}: the name '{path.stem}' belongs to the standard library") == 1


def test_i11_a_module_that_misses_what_its_namesake_has_is_told_of_it(project: ScratchProject) -> None:
    project.write("json/__init__", "X = 1\n", prelude=False)
    project.write("flow", "import json\nprint('first\\nsecond\\x1b')\nprint(json.X)\n")
    finished = project.run("flow/main")
    assert finished.status == 2
    assert f"{project.root / 'json'}: the name 'json' belongs to the standard library" in finished.err
    assert "has no attribute 'X'" in finished.err
    assert "first\nsecond^[\n" in finished.err


def test_a_module_that_the_standard_library_lacks_here_is_the_user_s(project: ScratchProject) -> None:
    project.write("winreg", "X = 1\n", prelude=False)
    project.write("package/json", "X = 2\n", prelude=False)
    project.write(
        "flow", "import winreg\nfrom package import json\n@cf.workflow()\ndef main():\n    return [winreg.X, json.X]\n"
    )
    finished = project.run("flow/main")
    assert finished.value == [1, 2]
    assert "belongs to" not in finished.err


# -- what is printed while modules are imported ------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("discover",), ("run", "--no-ui", "flow/main"), ("run", "--detach", "flow/main")])
def test_what_an_import_prints_is_shown_line_by_line(project: ScratchProject, command: tuple[str, ...]) -> None:
    project.write("flow", "print('one\\ntwo\\nthree\\x1b')\n@cf.workflow()\ndef main():\n    return 1\n")
    assert "one\ntwo\nthree^[\n" in project.coflux(*command).err


# -- targets of modules that cannot be had by that name ----------------------------------------------------------------


def test_a_file_that_can_be_no_module_is_an_error_beside_the_others(project: ScratchProject) -> None:
    source = "@cf.workflow()\ndef main():\n    return 1\n"
    project.write("flow", source)
    dotted, shadow = project.write("a.b", source), project.write("queue", source)
    found = project.coflux("discover")
    assert found.status == 2
    assert "main()" in found.out
    assert f"{dotted} cannot be imported: rename 'a.b'" in found.err
    assert found.err.count(str(dotted)) == 1
    assert f"{shadow}: the name 'queue' belongs to the standard library" in found.err
    doctor = project.coflux("doctor")
    assert f"{dotted} cannot be imported: rename 'a.b'" in doctor.out
    assert "3 modules, 1 target" in doctor.out


def test_a_target_can_be_run_from_the_package_that_exports_it(project: ScratchProject) -> None:
    project.write("package/__init__", "from package.flows import main, main as other, copy\n", prelude=False)
    project.write(
        "package/flows", "@cf.workflow()\ndef main(n: int):\n    return n + 1\n\ncopy = main.with_timeout(60)\n"
    )
    assert project.run("package/main", "1").value == 2
    assert project.run("package/other", "2").value == 3
    assert project.inspect(project.last_run())["run"]["target"] == "package.flows/main"
    missing = project.run("package/mian")
    assert missing.status == 2
    assert "did you mean main" in missing.err
    assert project.run("package/copy", "1").status == 2
    assert project.coflux("discover", "package").out.count("main(") == 1
