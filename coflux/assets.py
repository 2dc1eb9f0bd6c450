"""Files that an execution keeps, addressed by their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Asset", "AssetEntry", "asset"]

FilePath = str | PathLike[str]


class AssetEntry:
    """A file of an asset.

    Attributes:
        path: its path within the asset, with `/`.
        size: its size in bytes.
    """

    __slots__ = ("path", "size")

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size

    def restore(self, at: FilePath | None = None) -> Path:
        """Write the file below `at` (default: the current directory) and return where it is."""
        _not_available("AssetEntry.restore()")

    def __repr__(self) -> str:
        return f"<AssetEntry {self.path!r}, {self.size} bytes>"


class Asset:
    """A collection of files that was made with `asset`. `asset[path]` is an entry, `path in asset` asks for one.

    Attributes:
        id: the asset's id. Equal names and contents make equal ids.
        metadata: what is known about it: its name, number of files and size in bytes.
        entries: its files.
    """

    __slots__ = ("_by_path", "entries", "id", "metadata")

    def __init__(self, id: str, metadata: Mapping[str, Any], entries: Iterable[AssetEntry]) -> None:  # noqa: A002
        self.id = id
        self.metadata = dict(metadata)
        self.entries = list(entries)
        self._by_path = {entry.path: entry for entry in self.entries}

    def restore(self, match: str | None = None, at: FilePath | None = None) -> dict[str, Path]:
        """Write the files below `at` (default: the current directory) and return where each is.

        Args:
            match: only files whose path matches: `*` within a directory, `**` across directories, `{a,b}`.
        """
        _not_available("Asset.restore()")

    def __getitem__(self, path: str) -> AssetEntry:
        return self._by_path[path]

    def __contains__(self, path: object) -> bool:
        return path in self._by_path

    def __repr__(self) -> str:
        return f"<Asset {self.id}, {len(self.entries)} files>"


def asset(
    entries: FilePath | Iterable[FilePath] | Asset | Mapping[str, FilePath | Asset | AssetEntry] | None = None,
    *,
    at: FilePath | None = None,
    match: str | None = None,
    name: str | None = None,
) -> Asset:
    """Keep files, so that they can be looked at, downloaded, and used by other executions.

    Args:
        entries: a path, a list of paths, an `Asset`, or a dict from the path in the new asset to a path, an `Asset` or
            an `AssetEntry`; `None`: all files below `at`.
        at: the directory that paths are relative to; default: the execution's directory.
        match: only files whose path matches: `*` within a directory, `**` across directories, `{a,b}`.
        name: what to call the asset.
    """
    _not_available("asset()")


def _not_available(what: str) -> NoReturn:
    raise NotImplementedError(f"{what} is not available yet")
