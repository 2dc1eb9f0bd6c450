"""The assets that are looked at as data: a tree of assets, directories and files, of which some are unfolded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from coflux.asset_manifest import StoredFile
from coflux.assets import SHOWN_ID
from coflux.tui.previews import Preview
from coflux.tui.updates import AssetListed, AssetsRead, EntriesRead, PreviewRead, Update

__all__ = ["AssetsState", "FileKind", "FileRow"]

UNFOLDED = 3  # assets of which, when there are no more, all are unfolded
MOST_ROWS = 5000  # below one asset


class FileKind(Enum):
    ASSET = "asset"
    DIRECTORY = "directory"
    FILE = "file"
    NOTE = "note"


class FileRow(NamedTuple):
    """A line of the list. `path` is the one in the asset, "" for the asset itself; `note` is about what is missing."""

    kind: FileKind
    asset: AssetListed
    path: str = ""
    depth: int = 0
    file: StoredFile | None = None
    files: int = 0  # in a directory
    size: int = 0  # of them
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.asset.id, self.path

    @property
    def folds(self) -> bool:
        return self.kind in (FileKind.ASSET, FileKind.DIRECTORY)

    @property
    def name(self) -> str:
        if self.kind is FileKind.ASSET:
            return self.asset.name or self.asset.id[:SHOWN_ID]
        return self.path.rpartition("/")[2]


class AssetsState:
    """
    Attributes:
        number: tells the answers about what is looked at from those about what was.
        rows: the lines of the list, after `layout`.
        preview: a look into the file that was asked for last; `None` until it is there.
        preview_number: tells that from those asked for before.
    """

    def __init__(self) -> None:
        self.number = 0
        self.read = False
        self.assets: Sequence[AssetListed] = ()
        self.rows: list[FileRow] = []
        self.preview: Preview | None = None
        self.preview_number = 0
        self._entries: dict[str, EntriesRead] = {}
        self._wanted: set[str] = set()
        self._open: dict[tuple[str, str], bool] = {}
        self._changed = True

    def open(self) -> int:
        """Look at others; returns the number of the request for them."""
        self.number += 1
        self.read, self.assets, self._changed = False, (), True
        return self.number

    def next_preview(self) -> int:
        """Look into another file; returns the number of the request for it."""
        self.preview_number += 1
        self.preview = None
        return self.preview_number

    def take(self, update: Update) -> None:
        match update:
            case AssetsRead(self.number, assets):
                self.assets, self.read, self._changed = assets, True, True
            case EntriesRead(asset):
                self._entries[asset] = update
                self._changed = True
            case PreviewRead(self.preview_number, preview):
                self.preview = preview

    def take_wanted(self) -> list[str]:
        """Assets whose files have come to be needed."""
        wanted = sorted(self._wanted - self._entries.keys())
        for asset in wanted:
            self._entries[asset] = EntriesRead(asset, ())  # it is asked for once
        self._wanted.clear()
        return wanted

    # -- what is shown -----------------------------------------------------------------------------------------------

    def is_open(self, row: FileRow) -> bool:
        if row.kind is FileKind.ASSET:
            return self._open.get(row.key, len(self.assets) <= UNFOLDED)
        return self._open.get(row.key, True)

    def toggle(self, row: FileRow, to: bool | None = None) -> None:
        if row.folds:
            self._open[row.key] = not self.is_open(row) if to is None else to
            self._changed = True

    def layout(self) -> bool:
        """Work out `rows`, if they may have changed. Returns whether they were."""
        if not self._changed:
            return False
        self._changed = False
        self.rows = []
        for asset in self.assets:
            top = FileRow(FileKind.ASSET, asset)
            self.rows.append(top)
            if self.is_open(top):
                self.rows += self._below(asset)
        return True

    def _below(self, asset: AssetListed) -> Iterator[FileRow]:
        entries = self._entries.get(asset.id)
        if entries is None:
            self._wanted.add(asset.id)
            return
        if entries.problem:
            yield FileRow(FileKind.NOTE, asset, "\0lost", 1, note=entries.problem)
            return
        files = entries.files
        for count, row in enumerate(self._rows(asset, files, "", 1)):
            if count == MOST_ROWS:
                note = f"{len(files):,} files: fold directories, or use `coflux assets inspect {asset.id[:SHOWN_ID]}`"
                yield FileRow(FileKind.NOTE, asset, "\0more", 1, note=note)
                return
            yield row

    def _rows(self, asset: AssetListed, files: Sequence[StoredFile], above: str, depth: int) -> Iterator[FileRow]:
        """What is directly in the directory `above`, which all of `files` are below; directories come first."""
        inside: dict[str, list[StoredFile]] = {}
        here: list[StoredFile] = []
        for file in files:
            name, slash, _ = file.path[len(above) :].partition("/")
            if slash:
                inside.setdefault(name, []).append(file)
            else:
                here.append(file)
        for name, some in inside.items():
            row = FileRow(
                FileKind.DIRECTORY, asset, above + name, depth, files=len(some), size=sum(file.size for file in some)
            )
            yield row
            if self.is_open(row):
                yield from self._rows(asset, some, f"{above}{name}/", depth + 1)
        for file in here:
            yield FileRow(FileKind.FILE, asset, file.path, depth, file)
