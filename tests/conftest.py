"""How the tests are shared out when several processes run them (`make test`)."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file stays together, for its fixtures. Tests that start engines all do: they measure time, and two engines at a
    time would be two too many for a machine with two cores."""
    for item in items:
        file = item.path.relative_to(HERE)
        engines = file.parts[0] == "engine" or file.name == "test_examples.py"
        item.add_marker(pytest.mark.xdist_group("engines" if engines else str(file)))
