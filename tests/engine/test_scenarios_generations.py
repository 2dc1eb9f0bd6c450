"""Which code runs: what workers import later counts as well, and what is tried again is tried on the newest code."""

from __future__ import annotations

from pathlib import Path

from tests.engine.scratch import ScratchProject, kinds

# -- what workers import -----------------------------------------------------------------------------------------------


def constant(project: ScratchProject, value: int) -> Path:
    """A module that the targets import while they run. Each version has its own length."""
    return project.write("helper", f"V = {value}\n", prelude=False)


LAZY = """
    @cf.workflow()
    def main():
        import helper
        return helper.V

    @cf.workflow()
    def held():
        import helper
        mark("held")
        gate("held")
        return helper.V
"""


def test_what_a_workflow_imports_is_as_new_as_its_run(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", LAZY)
    for value in (1, 22, 333):
        constant(project, value)
        assert project.run("flow/main").value == value
        assert project.run("flow/main").value == value


def test_what_a_script_imports_is_as_new_in_the_engine(project: ScratchProject) -> None:
    """Its targets travel by value, and their modules are imported where they run."""
    project.hold()
    project.write(
        "script",
        """
        import helper

        @cf.task
        def value():
            return helper.V

        if __name__ == "__main__":
            print([helper.V, cf.run(value)])
        """,
    )
    for value in (1, 22, 333):
        constant(project, value)
        assert project.python("script.py").value == [value, value]


def test_a_module_that_a_workflow_missed_is_imported_once_it_is_there(project: ScratchProject) -> None:
    project.hold()
    project.write(
        "flow",
        """
        @cf.workflow()
        def main():
            try:
                import helper
            except ImportError:
                return None
            return helper.V
        """,
    )
    assert project.run("flow/main").value is None
    path = constant(project, 1)
    assert project.run("flow/main").value == 1
    path.unlink()
    assert project.run("flow/main").value is None


def test_a_process_that_imported_old_code_does_not_run_new_work(project: ScratchProject) -> None:
    """It is busy when the file changes, so that nobody knows of its import when the next run starts."""
    project.hold()
    project.write(
        "flow",
        LAZY
        + """
    @cf.task()
    def value():
        import helper
        return helper.V

    @cf.workflow()
    def waiting():
        mark("waiting")
        gate("waiting")
        return [value() for _ in range(3)]
""",
    )
    constant(project, 1)
    old = project.start("run", "--no-ui", "flow/held")
    project.marked("held")
    constant(project, 22)
    new = project.start("run", "--no-ui", "flow/waiting")
    project.marked("waiting")
    project.open_gate("held")
    assert project.finish(old).value == 1
    project.open_gate("waiting")
    assert project.finish(new).value == [22, 22, 22]


def test_an_import_that_changes_nothing_costs_no_new_generation(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", 'mark("imported")\n' + LAZY.replace("    @", "@").replace("\n    ", "\n"))
    constant(project, 1)
    for _ in range(4):
        assert project.run("flow/main").value == 1
    assert len(project.marks("imported")) == 1


def test_a_module_that_an_execution_writes_for_itself_costs_no_new_generation(project: ScratchProject) -> None:
    """It goes with the working directory, and the process that imported it goes as well."""
    project.hold()
    project.write(
        "flow",
        """
        mark("imported")

        @cf.workflow()
        def main(value: int):
            sys.path.insert(0, os.getcwd())
            with open("generated.py", "w") as file:
                file.write(f"V = {value}")
            import generated
            return generated.V
        """,
    )
    for value in (1, 2, 3):
        assert project.run("flow/main", str(value)).value == value
    assert len(project.marks("imported")) == 1


# -- new attempts ------------------------------------------------------------------------------------------------------

RETRIED = """
    VERSION = {version}

    @cf.task(retries=cf.Retries(3, backoff=(0.1, 0.1)))
    def task():
        mark("attempt")
        if VERSION == 1:
            gate("changed")
        raise ValueError(f"VERSION-{{VERSION}}")

    @cf.workflow()
    def main():
        return task()

    @cf.workflow()
    def other():
        return VERSION
"""


def messages(project: ScratchProject, run: str) -> list[str]:
    """What the attempts at the task failed with."""
    lines = "\n".join(project.output(run)).splitlines()
    return [line.removeprefix("raised ") for line in lines if line.startswith("raised ")]


def test_new_attempts_use_the_newest_generation(project: ScratchProject) -> None:
    project.hold()
    source = RETRIED.replace("raise ValueError", 'print(f"raised VERSION-{{VERSION}}"); raise ValueError')
    project.write("flow", source.format(version=1))
    run = project.detach("flow/main")
    project.marked("attempt")
    project.write("flow", source.format(version=22))
    assert project.run("flow/other").value == 22
    project.open_gate("changed")
    document = project.settled(run)
    assert kinds(document, "task") == [["failed"] * 4]
    assert messages(project, run) == ["VERSION-1", "VERSION-22", "VERSION-22", "VERSION-22"]


def test_an_attempt_that_waits_for_its_time_uses_the_newest_generation(project: ScratchProject) -> None:
    project.hold()
    source = """
        @cf.workflow(retries=cf.Retries(1, backoff=(3, 3)))
        def main():
            mark("attempt")
            if {version} == 1:
                raise ValueError
            return {version}
    """
    project.write("flow", source.format(version=1))
    run = project.detach("flow/main")
    project.marked("attempt")
    project.write("flow", source.format(version=2))
    assert project.run("flow/main").value == 2
    assert project.settled(run)["result"] == 2


def test_children_use_the_generation_of_their_parent(project: ScratchProject) -> None:
    """Also those that it submits when a newer one is there."""
    project.hold()
    source = """
        @cf.task()
        def task():
            return {version}

        @cf.workflow()
        def main(wait: bool):
            mark("running")
            if wait:
                gate("changed")
            return [{version}, task()]
    """
    project.write("flow", source.format(version=1))
    run = project.detach("flow/main", "true")
    project.marked("running")
    project.write("flow", source.format(version=22))
    assert project.run("flow/main", "false").value == [22, 22]
    project.open_gate("changed")
    assert project.settled(run)["result"] == [1, 1]


def test_running_work_keeps_its_generation_while_the_newest_does_not_import(project: ScratchProject) -> None:
    project.hold()
    source = RETRIED.replace("raise ValueError", 'print(f"raised VERSION-{{VERSION}}"); raise ValueError')
    project.write("flow", source.format(version=1))
    run = project.detach("flow/main")
    project.marked("attempt")
    project.write("flow", "this is no Python")
    assert project.run("flow/other").status == 2
    project.open_gate("changed")
    project.settled(run)
    assert messages(project, run) == ["VERSION-1"] * 4


def test_new_attempts_of_a_script_s_target_import_the_newest_code(project: ScratchProject) -> None:
    project.hold()
    project.write(
        "script",
        """
        @cf.task(retries=cf.Retries(1, backoff=(0.1, 0.1)))
        def value():
            import helper
            mark("running")
            if helper.V == 1:
                gate("changed")
                raise ValueError("old")
            return helper.V

        if __name__ == "__main__":
            print(cf.run(value))
        """,
    )
    constant(project, 1)
    old = project.start_python("script.py")
    project.marked("running")
    constant(project, 22)
    assert project.python("script.py").value == 22
    # Nobody knew what the busy process had imported; now that a report is there, a difference is seen.
    project.open_gate("changed")
    assert project.finish(old).value == 22


# -- module hosts that are lost ----------------------------------------------------------------------------------------

KILLER = """
    import signal

    @cf.task(retries=cf.Retries({limit}, backoff=(0.1, 0.1)))
    def kill():
        mark("kill")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30)

    @cf.workflow(retries=cf.Retries({limit}, backoff=(0.1, 0.1)))
    def main():
        return kill()

    @cf.workflow(retries=cf.Retries(3, backoff=(2, 2)))  # when the others have done what they do
    def innocent():
        if attempt("innocent") == 1:
            time.sleep(30)
        return "done"
"""


def test_lost_hosts_of_earlier_runs_do_not_count_against_a_later_one(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", KILLER.format(limit=2))
    for _ in range(2):
        assert project.run("flow/main").status == 1
    lost = len(project.marks("kill"))
    innocent = project.start("run", "--no-ui", "flow/innocent")
    project.marked("innocent")
    assert project.run("flow/main").status == 1
    assert len(project.marks("kill")) > lost
    assert project.finish(innocent).value == "done"


def test_a_run_that_loses_its_host_again_and_again_is_refused(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", KILLER.format(limit=100))
    finished = project.run("flow/main")
    assert finished.status == 1
    assert "the module host of flow ended 4 times in a row" in finished.err
