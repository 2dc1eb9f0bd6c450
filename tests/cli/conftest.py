"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.samples import Captured, Recorder, recording


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
