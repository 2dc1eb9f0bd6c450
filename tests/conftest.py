"""What all tests have in common: signals, which of them share a process (`make test`), that none knows another's
secrets."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from coflux.redaction import THIS_PROCESS, Redactor

HERE = Path(__file__).parent


def pytest_configure() -> None:
    """Commands that the tests start would inherit that a signal is ignored, as a job in the background has it, and what
    the environment says of the terminal that pytest runs on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "SSH_CONNECTION", "COLUMNS", "LINES"):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file stays together, for its fixtures."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(HERE))))


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that one test makes is replaced in no text of another."""
    for name, value in vars(Redactor()).items():
        monkeypatch.setattr(THIS_PROCESS, name, value)
