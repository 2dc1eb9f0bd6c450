"""What `coflux discover` looks at, and how it shows what the engine found."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.cli.discover import files_with_targets
from coflux.display.signatures import signature
from coflux.executor.messages import ParameterInfo, TargetInfo, TargetSpec
from coflux.task_options import TaskOptions


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import coflux as cf", True),
        ("from coflux import task", True),
        ("import coflux.testing", True),
        ("def f():\n    import os, coflux", True),
        ("import coflux as cf\ndef f(:", True),
        ("import cofluxion", False),
        ("# import coflux", False),
        ("from . import coflux", False),
        ("x = 'coflux'", False),
    ],
)
def test_files_that_import_coflux_are_found_without_running_them(tmp_path: Path, source: str, found: bool) -> None:
    path = write(tmp_path / "app" / "flows.py", source)
    assert list(files_with_targets(str(tmp_path))) == ([str(path)] if found else [])


@pytest.mark.parametrize("directory", [".git", ".venv", "node_modules", "__pycache__", "environment"])
def test_what_is_not_the_projects_is_left_out(tmp_path: Path, directory: str) -> None:
    write(tmp_path / directory / "flows.py", "import coflux")
    write(tmp_path / "environment" / "pyvenv.cfg", "")
    own = write(tmp_path / "flows.py", "import coflux")
    assert list(files_with_targets(str(tmp_path))) == [str(own)]


def parameter(name: str, kind: str, annotation: str | None = None, default: str | None = None) -> ParameterInfo:
    return ParameterInfo(name, kind, annotation, default)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ((), "load()"),
        ((parameter("a", "POSITIONAL_ONLY"), parameter("b", "POSITIONAL_OR_KEYWORD")), "load(a, /, b)"),
        ((parameter("a", "POSITIONAL_ONLY", "int", "1"),), "load(a: int = 1, /)"),
        ((parameter("a", "KEYWORD_ONLY"), parameter("b", "KEYWORD_ONLY", None, "2")), "load(*, a, b=2)"),
        (
            (parameter("rest", "VAR_POSITIONAL", "str"), parameter("a", "KEYWORD_ONLY"), parameter("o", "VAR_KEYWORD")),
            "load(*rest: str, a, **o)",
        ),
    ],
)
def test_signatures_read_as_they_are_defined(parameters: tuple[ParameterInfo, ...], text: str) -> None:
    spec = TargetSpec("app", "load", "task", tuple(one.name for one in parameters), TaskOptions())
    assert signature(TargetInfo(spec, parameters, "", "app.py", 1)) == text
