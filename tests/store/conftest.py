from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coflux.executor.history import History
from coflux.executor.store import Store


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    return str(tmp_path / ".coflux")


@pytest.fixture
def store(data_dir: str) -> Iterator[Store]:
    store = Store.open(data_dir)
    yield store
    store.close()


@pytest.fixture
def history(store: Store, data_dir: str) -> Iterator[History]:
    history = History.open(data_dir)
    yield history
    history.close()
