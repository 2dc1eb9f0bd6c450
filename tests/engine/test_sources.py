"""How what was imported is looked after: a directory is listed only when something in it came or went."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.executor import sources
from coflux.executor.messages import SearchedDirectory, Sources
from coflux.executor.sources import SourceWatch, settled_change_time


class Listings:
    """Counts the listings of directories."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._list = sources.directory_entries
        monkeypatch.setattr(sources, "directory_entries", self)

    def __call__(self, directory: str) -> set[str]:
        self.count += 1
        return self._list(directory)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Listings:
    return Listings(monkeypatch)


def watch(directory: Path, *, walked: bool = False) -> SourceWatch:
    """`there` was found in the directory, `helper` was not."""
    watched = SourceWatch()
    present, absent = ("there.py",), ("helper", "helper.py")
    searched = SearchedDirectory(str(directory), settled_change_time(str(directory)), present, absent, walked)
    watched.add(Sources((), (searched,)))
    return watched


def test_a_change_that_is_too_young_is_not_relied_upon(tmp_path: Path, listings: Listings) -> None:
    """The next one could get the same time: `helper.py` is found though the directory seems unchanged."""
    (tmp_path / "there.py").touch()
    assert settled_change_time(str(tmp_path)) == 0
    watched = watch(tmp_path)
    assert watched.changed() is None
    assert watched.changed() is None
    assert listings.count == 2
    (tmp_path / "helper.py").touch()
    assert watched.changed() == str(tmp_path / "helper.py")


def test_a_directory_is_listed_once_for_each_change(
    tmp_path: Path, listings: Listings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "TIMESTAMP_STEP", -1)  # as if all of this had happened long ago
    (tmp_path / "there.py").touch()
    watched = watch(tmp_path)
    assert watched.changed() is None
    assert listings.count == 0
    settled = settled_change_time(str(tmp_path))
    while settled_change_time(str(tmp_path)) == settled:  # the file system's clock ticks every few milliseconds
        (tmp_path / "results.csv").unlink(missing_ok=True)
        (tmp_path / "results.csv").touch()
    assert watched.changed() is None
    assert watched.changed() is None
    assert listings.count == 1


@pytest.mark.parametrize("walked", [False, True])
def test_only_what_decides_an_import_counts(tmp_path: Path, walked: bool) -> None:
    (tmp_path / "there.py").touch()
    watched = watch(tmp_path, walked=walked)
    (tmp_path / "notes.txt").touch()
    assert watched.changed() is None
    (tmp_path / "other.py").touch()
    assert watched.changed() == (str(tmp_path / "other.py") if walked else None)
    (tmp_path / "there.py").unlink()
    assert watched.changed() in {str(tmp_path / "there.py"), str(tmp_path / "other.py")}


def test_a_directory_that_was_absent_is_looked_for(tmp_path: Path) -> None:
    directory = tmp_path / "absent"
    watched = SourceWatch()
    watched.add(Sources((), (SearchedDirectory(str(directory), 0, (), ("helper.py",), False),)))
    assert watched.changed() is None
    directory.mkdir()
    assert watched.changed() is None
    (directory / "helper.py").touch()
    assert watched.changed() == str(directory / "helper.py")
