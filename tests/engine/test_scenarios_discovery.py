"""Scenarios: which targets there are (DISC).

DISC-S05 (archive a module, then register it again) has no counterpart: nothing is registered. What a module holds is
what its files say now, so a module is gone when its file is, and back when that is.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.scratch import Finished, ScratchProject

TASK = """
@cf.task()
def {name}():
    return "{name}"
"""


@pytest.fixture
def package(shared: ScratchProject) -> ScratchProject:
    shared.write("package/__init__", "from package.nested.inner import deep\n", prelude=False)
    shared.write("package/outer", TASK.format(name="shallow"))
    shared.write("package/nested/__init__", "", prelude=False)
    shared.write("package/nested/inner", TASK.format(name="deep"))
    shared.write("package/nested/_internal", TASK.format(name="hidden"))
    return shared


def targets(found: Finished) -> list[str]:
    return [target["target"] for target in json.loads(found.out)["targets"]]


def test_the_targets_of_a_package_and_of_all_its_modules(package: ScratchProject) -> None:
    """DISC-S01, DISC-S02, DISC-S03: not those of modules with an underscore; each once, also if it is re-exported."""
    found = package.coflux("discover", "package", "--json")
    assert sorted(targets(found)) == ["package.nested.inner/deep", "package.outer/shallow"]


def test_a_target_is_run_by_the_name_that_a_package_gives_it(package: ScratchProject) -> None:
    """DISC-S03."""
    assert package.run("package/deep").value == "deep"


def test_a_module_that_does_not_import_leaves_the_others_alone(shared: ScratchProject) -> None:
    """DISC-S04."""
    shared.write("good", TASK.format(name="fine"))
    path = shared.write("bad", "import nothing_of_that_name\n", prelude=False)
    found = shared.coflux("discover", "good", "bad", "--json")
    assert found.status == 2
    assert targets(found) == ["good/fine"]
    [error] = json.loads(found.out)["errors"]
    assert (error["module"], error["file"], error["line"]) == ("bad", str(path), 1)
    assert shared.run("good/fine").value == "fine"


def test_a_module_goes_and_comes_with_its_file(shared: ScratchProject) -> None:
    """In place of DISC-S05."""
    path = shared.write("passing", TASK.format(name="brief"))
    assert shared.run("passing/brief").value == "brief"
    path.unlink()
    assert shared.run("passing/brief").status == 2
    shared.write("passing", TASK.format(name="brief"))
    assert targets(shared.coflux("discover", "passing", "--json")) == ["passing/brief"]


def test_what_is_shown_of_a_target(shared: ScratchProject) -> None:
    """DISC-S06: docstring, annotations and defaults."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main(path: str, /, *rest: int, limit: int = 10, mode="fast"):
            \"\"\"Load everything.

            And then some.
            \"\"\"
        """,
    )
    [target] = json.loads(shared.coflux("discover", "flow", "--json").out)["targets"]
    assert target["signature"] == "main(path: str, /, *rest: int, limit: int = 10, mode='fast')"
    assert target["doc"].startswith("Load everything.")
    parameters: list[dict[str, Any]] = target["parameters"]
    assert [(one["name"], one["annotation"], one["default"]) for one in parameters] == [
        ("path", "str", None),
        ("rest", "int", None),
        ("limit", "int", "10"),
        ("mode", None, "'fast'"),
    ]
    assert (
        "main(path: str, /, *rest: int, limit: int = 10, mode='fast')  # Load everything."
        in shared.coflux("discover", "flow").out
    )
