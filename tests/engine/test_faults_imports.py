"""Modules that do something strange while they are imported: one clear message, and nothing goes on behind it."""

from __future__ import annotations

import os

from tests.engine.scratch import ScratchProject


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
    assert found.status == 1
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
