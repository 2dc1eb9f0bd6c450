"""What all tests have in common: which of them share a process (`make test`), and that none knows another's secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.redaction import THIS_PROCESS, Redactor

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file stays together, for its fixtures. Tests that start engines all do: they measure time, and two engines at a
    time would be two too many for a machine with two cores."""
    for item in items:
        file = item.path.relative_to(HERE)
        engines = file.parts[0] == "engine" or file.name == "test_examples.py"
        item.add_marker(pytest.mark.xdist_group("engines" if engines else str(file)))


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that one test makes is replaced in no text of another."""
    for name, value in vars(Redactor()).items():
        monkeypatch.setattr(THIS_PROCESS, name, value)
