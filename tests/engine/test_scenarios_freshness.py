"""No run uses old code: what was looked for and not there counts as much as what was read."""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engine.scratch import ScratchProject

OPTIONAL_HELPER = """
    mark("imported")
    try:
        import helper
    except ImportError:
        helper = None

    @cf.workflow()
    def main():
        return getattr(helper, "WHICH", None)
"""


def helper(path: Path, which: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"WHICH = {which!r}\n")


def test_a_module_that_was_missing_is_imported_once_it_is_there(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", OPTIONAL_HELPER)
    assert project.run("flow/main").value is None
    helper(project.root / "helper.py", "new")
    assert project.run("flow/main").value == "new"
    (project.root / "helper.py").unlink()
    assert project.run("flow/main").value is None


@pytest.mark.parametrize(
    "place",
    ["helper.py", "helper/__init__.py", "absent/helper.py", "lib/helper/__init__.py"],
    ids=["earlier on the path", "a package earlier on the path", "a directory that was absent", "a package beside it"],
)
def test_a_new_file_that_shadows_what_was_imported_is_imported(project: ScratchProject, place: str) -> None:
    project.hold()
    project.write("flow", OPTIONAL_HELPER)
    helper(project.root / "lib" / "helper.py", "old")
    path = f"{project.root / 'absent'}:{project.root / 'lib'}"
    assert project.run("flow/main", PYTHONPATH=path).value == "old"
    helper(project.root / place, "new")
    assert project.run("flow/main", PYTHONPATH=path).value == "new"


def test_a_directory_that_becomes_a_package_is_imported_anew(project: ScratchProject) -> None:
    project.hold()
    project.write("flow", OPTIONAL_HELPER)
    (project.root / "helper").mkdir()
    assert project.run("flow/main").value is None
    helper(project.root / "helper" / "__init__.py", "package")
    assert project.run("flow/main").value == "package"


def test_a_module_that_was_missing_in_a_package_is_imported_once_it_is_there(project: ScratchProject) -> None:
    project.hold()
    project.write("package/__init__", "", prelude=False)
    project.write("package/flow", OPTIONAL_HELPER.replace("import helper", "from package import helper"))
    assert project.run("package.flow/main").value is None
    helper(project.root / "package" / "helper.py", "new")
    assert project.run("package.flow/main").value == "new"


@pytest.mark.parametrize("kind", ["project", "preloading"])
def test_a_new_file_of_a_third_party_package_s_name_is_imported(request: pytest.FixtureRequest, kind: str) -> None:
    """A preloaded package is in every process before the user's modules are: its shadow calls for other processes."""
    project: ScratchProject = request.getfixturevalue(kind)
    project.hold()
    project.write("flow", OPTIONAL_HELPER.replace("import helper", "import iniconfig as helper"))
    assert project.run("flow/main").value is None
    helper(project.root / "iniconfig.py", "the user's")
    assert project.run("flow/main").value == "the user's"
    helper(project.root / "iniconfig.py", "changed")
    assert project.run("flow/main").value == "changed"
    (project.root / "iniconfig.py").unlink()
    assert project.run("flow/main").value is None


def test_a_run_outlives_the_preloaded_package_that_is_shadowed_meanwhile(preloading: ScratchProject) -> None:
    """Each has processes of its own. Those of the first end with it, and take nothing of the second's along."""
    project = preloading
    project.hold()
    project.write(
        "flow",
        """
        import iniconfig

        @cf.task()
        def which():
            return getattr(iniconfig, "WHICH", "installed")

        @cf.workflow()
        def main(name: str):
            with open("here", "w") as file:
                file.write(name)
            mark(name)
            gate(name)
            return [which(), os.listdir()]
        """,
    )
    old = project.start("run", "--no-ui", "flow/main", "old")
    guardian = psutil.Process(project.marked("old")[0].pid).parents()[1]
    helper(project.root / "iniconfig.py", "the user's")
    new = project.start("run", "--no-ui", "flow/main", "new")
    project.marked("new")
    project.open_gate("old")
    assert project.finish(old).value == ["installed", ["here"]]
    guardian.wait(10)
    project.open_gate("new")
    assert project.finish(new).value == ["the user's", ["here"]]


def _result(directory: Path) -> None:
    (directory / "results.csv").write_text("1,2\n")


def _lookalikes(directory: Path) -> None:
    (directory / "helper.json").write_text("{}")
    (directory / "helper.pyc").write_bytes(b"")


@pytest.mark.parametrize("write", [_result, _lookalikes])
def test_files_that_no_import_looks_for_cost_no_new_import(
    project: ScratchProject, write: Callable[[Path], None]
) -> None:
    project.hold()
    project.write("flow", OPTIONAL_HELPER)
    for _ in range(3):
        assert project.run("flow/main").value is None
        write(project.root)
    assert len(project.marks("imported")) == 1


def test_a_module_that_its_importer_writes_is_imported_once(project: ScratchProject) -> None:
    """It is looked for, written and looked for again: that it is there afterwards is no change behind its back."""
    project.hold()
    project.write(
        "flow",
        """
        mark("imported")
        try:
            import generated
        except ImportError:
            with open(os.path.join(os.path.dirname(__file__), "generated.py"), "w") as file:
                file.write("VALUE = 1")
            import importlib
            importlib.invalidate_caches()
            import generated

        @cf.workflow()
        def main():
            return generated.VALUE
        """,
    )
    assert project.run("flow/main").value == 1
    assert project.run("flow/main").value == 1
    assert len(project.marks("imported")) <= 2


def test_a_module_that_is_new_in_a_package_is_discovered(project: ScratchProject) -> None:
    project.hold()
    project.write("package/__init__", "", prelude=False)
    project.write("package/one", "@cf.task()\ndef first():\n    return 1\n")
    (project.root / "package" / "sub").mkdir()

    def targets() -> list[str]:
        found = json.loads(project.coflux("discover", "package", "--json").out)
        return sorted(target["target"] for target in found["targets"])

    assert targets() == ["package.one/first"]
    project.write("package/two", "@cf.task()\ndef second():\n    return 2\n")
    assert targets() == ["package.one/first", "package.two/second"]
    project.write("package/sub/__init__", "@cf.task()\ndef third():\n    return 3\n")
    assert targets() == ["package.one/first", "package.sub/third", "package.two/second"]


def test_discover_and_run_take_a_file_target_from_the_same_place(project: ScratchProject) -> None:
    """Its directory goes before a directory that has a module of that name, though both are on the path already."""
    project.write("first/flow", "@cf.workflow()\ndef other():\n    return 1\n")
    wanted = project.write("second/flow", "@cf.workflow()\ndef main():\n    return 2\n")
    path = f"{project.root / 'first'}:{project.root / 'second'}"
    assert project.run("second/flow.py/main", PYTHONPATH=path).value == 2
    found = json.loads(project.coflux("discover", "second/flow.py", "--json", PYTHONPATH=path).out)
    assert [(target["target"], target["file"]) for target in found["targets"]] == [("flow/main", str(wanted))]


def test_an_extension_module_that_was_built_anew_is_imported_anew(project: ScratchProject) -> None:
    """It has no source that could be looked at."""
    project.hold()
    [built] = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("_csv.*.so")
    project.write("package/__init__", "", prelude=False)
    extension = project.root / "package" / built.name
    shutil.copy(built, extension)
    project.write(
        "flow",
        """
        from package import _csv
        mark("imported")

        @cf.workflow()
        def main():
            return _csv.__file__
        """,
    )
    for imports in (1, 1, 2):
        if imports == 2:
            extension.unlink()
            shutil.copy(built, extension)
        assert project.run("flow/main").value == str(extension)
        assert len(project.marks("imported")) == imports
