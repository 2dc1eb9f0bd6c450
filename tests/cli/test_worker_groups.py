"""Worker groups as they are configured: `[[workers]]` in coflux.toml, `[[tool.coflux.workers]]` in pyproject.toml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from coflux.project import ConfigError, find_project
from coflux.worker_groups import WorkerGroup


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("COFLUX_"):
            monkeypatch.delenv(variable)


def groups(root: Path, text: str) -> tuple[WorkerGroup, ...]:
    (root / "coflux.toml").write_text(text)
    return find_project(str(root)).settings.groups


def test_without_any_there_is_the_default_group_with_all_slots(tmp_path: Path) -> None:
    assert groups(tmp_path, "concurrency = 3") == (WorkerGroup("default", concurrency=3),)


def test_what_a_group_can_have(tmp_path: Path) -> None:
    text = f"""
        concurrency = 3
        [[workers]]
        name = "gpu"
        modules = ["ml", "vision.train"]
        python = {sys.executable!r}
        provides = {{ gpu = ["A100", "H100"], disk = "ssd", licensed = true }}
        accepts = {{ priority = "high" }}
        concurrency = 1
        [[workers]]
    """
    default, gpu, second = groups(tmp_path, text)
    assert gpu == WorkerGroup(
        "gpu",
        ("ml", "vision.train"),
        sys.executable,
        {"gpu": frozenset({"A100", "H100"}), "disk": frozenset({"ssd"}), "licensed": True},
        {"priority": frozenset({"high"})},
        1,
    )
    assert second == WorkerGroup("workers 2", concurrency=3)
    assert default == WorkerGroup("default", concurrency=3)


def test_the_default_group_can_be_redefined_and_comes_first_all_the_same(tmp_path: Path) -> None:
    text = """
        [[workers]]
        name = "other"
        concurrency = 1
        [[workers]]
        name = "default"
        provides = { disk = "ssd" }
        concurrency = 2
    """
    assert groups(tmp_path, text) == (
        WorkerGroup("default", provides={"disk": frozenset({"ssd"})}, concurrency=2),
        WorkerGroup("other", concurrency=1),
    )


def test_a_virtual_environment_is_named_by_its_directory(tmp_path: Path) -> None:
    interpreter = tmp_path / "env" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    _, group = groups(tmp_path, '[[workers]]\npython = "env"')
    assert group.python == str(tmp_path / "env" / "bin" / "python"), "the link itself: it is what makes the environment"


def test_a_table_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[[tool.coflux.workers]]\nname = "gpu"\nfoo = 1\n')
    with pytest.raises(ConfigError) as caught:
        find_project(str(tmp_path))
    place = f"{tmp_path}/pyproject.toml: [[tool.coflux.workers]] number 1 ('gpu')"
    assert str(caught.value) == f"{place}: unknown key 'foo'"


PYTHON = "python must be the path of an interpreter or of a virtual environment"
TAGS = "must be a table of tags, each with a text, a list of texts or true"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('modul = ["a"]', "[[workers]] number 1: unknown key 'modul'; did you mean 'modules'?"),
        ('modules = "a"', "[[workers]] number 1: modules must be a list of module names, not 'a'"),
        ('modules = ["a b"]', "[[workers]] number 1: modules must be a list of module names, not ['a b']"),
        ("name = 3", "[[workers]] number 1: name must be a name, not 3"),
        ("concurrency = 0", "[[workers]] number 1: concurrency must be a whole number of at least 1, not 0"),
        ("provides = { gpu = false }", f"[[workers]] number 1: provides {TAGS}, not {{'gpu': False}}"),
        ('accepts = ["gpu"]', f"[[workers]] number 1: accepts {TAGS}, not ['gpu']"),
        ('python = "env"', f"[[workers]] number 1: {PYTHON} (ROOT/env does not exist), not 'env'"),
        (
            'python = "coflux.toml"',
            f"[[workers]] number 1: {PYTHON} (ROOT/coflux.toml is not executable), not 'coflux.toml'",
        ),
        ('python = "empty"', f"[[workers]] number 1: {PYTHON} (ROOT/empty/bin/python does not exist), not 'empty'"),
        ('name = "a"\n[[workers]]\nname = "a"', "[[workers]] number 2 ('a'): there is another group of that name, 'a'"),
    ],
)
def test_a_mistake_is_named_with_its_table(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        groups(tmp_path, f"[[workers]]\n{lines}\n")
    assert str(caught.value) == f"{tmp_path}/coflux.toml: {message.replace('ROOT', str(tmp_path))}"


@pytest.mark.parametrize("text", ["workers = 3", "workers = [3]", "[workers]\nname = 'a'"])
def test_it_is_an_array_of_tables(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"coflux.toml: workers must be an array of tables, \[\[workers\]\] each"):
        groups(tmp_path, text)


def test_a_misspelt_array_is_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'worker'; did you mean 'workers'"):
        groups(tmp_path, "[[worker]]\n")


@pytest.mark.parametrize(
    ("group", "text"),
    [
        (WorkerGroup("a"), ""),
        (WorkerGroup("a", provides={"gpu": frozenset({"H100", "A100"}), "ssd": True}), "gpu=A100|H100, ssd"),
        (WorkerGroup("a", accepts={"priority": frozenset({"high"})}), "accepts priority=high"),
        (WorkerGroup("a", provides={"x": True}, accepts={"y": True}), "x; accepts y"),
    ],
)
def test_tags_as_people_see_them(group: WorkerGroup, text: str) -> None:
    assert group.tags == text
