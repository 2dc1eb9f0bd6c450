"""Fixtures of the command line's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coflux.cli.app import run
from tests.cli.samples import Captured, Command, Recorder, recording


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """A writer of a new store in `tmp_path`."""
    with recording(tmp_path) as recorder:
        yield recorder


@pytest.fixture
def captured() -> Iterator[Captured]:
    captured = Captured()
    yield captured
    captured.close()


@pytest.fixture
def coflux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in an empty project; returns status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COFLUX_DATA_DIR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        sys.stderr.flush()
        return status, *capfd.readouterr()

    return command
