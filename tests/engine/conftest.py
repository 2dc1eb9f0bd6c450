"""Scratch projects, and the promise that nothing of them is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.scratch import ScratchProject, eventually


@contextmanager
def scratch_project(root: Path, **settings: object) -> Iterator[ScratchProject]:
    """A scratch project. At the end nothing of it may be alive, and its store must be whole."""
    scratch = ScratchProject(root, **settings)
    try:
        yield scratch
    finally:
        scratch.close()
        eventually(lambda: not scratch.processes(), timeout=15.0)
    scratch.check()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ScratchProject]:
    """A scratch project of the test's own: its engine starts with the first command and leaves after the last."""
    with scratch_project(tmp_path / "project") as scratch:
        yield scratch


@pytest.fixture(scope="module")
def held_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchProject]:
    with scratch_project(tmp_path_factory.mktemp("shared") / "project") as scratch:
        scratch.hold()
        yield scratch


@pytest.fixture
def shared(held_project: ScratchProject) -> ScratchProject:
    """A scratch project whose engine serves all tests of a file, which makes them quick. No marks, gates closed."""
    held_project.clear()
    return held_project


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[ScratchProject]:
    """A scratch project whose engine runs one execution at a time."""
    with scratch_project(tmp_path / "project", concurrency=1) as scratch:
        scratch.hold()
        yield scratch


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[ScratchProject]:
    """A scratch project whose engine gives every execution a process of its own."""
    with scratch_project(tmp_path / "project", isolation="fresh") as scratch:
        yield scratch


@pytest.fixture
def preloading(tmp_path: Path) -> Iterator[ScratchProject]:
    """A scratch project whose engine imports a third-party package beforehand, once for all runs."""
    with scratch_project(tmp_path / "project", preload="iniconfig") as scratch:
        yield scratch
