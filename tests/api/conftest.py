from __future__ import annotations

from collections.abc import Iterator

import pytest

from coflux import backend
from coflux.target import duplicates, registry
from tests.api.fake_engine import FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """The test runs as if inside an execution."""
    fake = FakeEngine()
    backend.install(fake)
    yield fake
    backend.install(None)


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Targets that a test declares are gone after it."""
    targets, pairs = dict(registry), list(duplicates)
    yield
    registry.clear()
    registry.update(targets)
    duplicates[:] = pairs
