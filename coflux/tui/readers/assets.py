"""The assets that are looked at, the lists of their files, a look into one of them, and writing them to the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

from coflux.asset_manifest import StoredFile
from coflux.assets import Asset, AssetEntry
from coflux.display.text import size as size_text
from coflux.encoded import BlobDamaged, BlobMissing
from coflux.executor.blobs import FileBlobs
from coflux.executor.history import History
from coflux.executor.messages import Succeeded
from coflux.executor.news import News
from coflux.executor.rows import AssetRow, format_execution_id
from coflux.restoring import Destination, FileThere
from coflux.tui import previews
from coflux.tui.previews import Binary, Lost, Preview
from coflux.tui.readers.base import Reader
from coflux.tui.readers.coverage import Coverage
from coflux.tui.updates import (
    AssetListed,
    AssetsAsked,
    AssetsRead,
    DownloadAsked,
    DownloadBlocked,
    EntriesAsked,
    EntriesRead,
    Failed,
    PreviewAsked,
    PreviewRead,
    Request,
    RunOpened,
    Said,
    Update,
)

__all__ = ["AssetsReader"]

INTERVAL = 0.5  # seconds between two readings
ASSETS = 5000


class AssetsReader(Reader):
    def __init__(self) -> None:
        self._asked: AssetsAsked | None = None
        self._coverage: Coverage | None = None
        self._stale = False
        self._next = 0.0

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        match request:
            case AssetsAsked():
                self._asked = request if request.run else None
                self._coverage = None
                self.busy, self.due = bool(request.run), None
            case RunOpened():
                self._asked, self.busy, self.due = None, False, None
            case EntriesAsked(asset):
                yield _entries(history, asset)
            case PreviewAsked(number):
                yield PreviewRead(number, _preview(history, request))
            case DownloadAsked():
                yield _download(history, request)

    def read(self, history: History, news: News) -> Iterator[Update]:
        asked = self._asked
        if asked is None:
            return
        if self._coverage is None or news.executions is None:
            self._coverage = Coverage(history, asked.run, asked.steps)
            self._stale = True
        coverage = self._coverage
        self._stale = self._stale or any(key in coverage for key in news.executions or ())
        now = time.monotonic()
        if not self._stale or (now < self._next and not self.busy):
            self.due = self._next if self._stale else None
            return
        self.busy, self.due, self._stale, self._next = False, None, False, now + INTERVAL
        yield AssetsRead(asked.number, _listed(history, coverage, asked.execution))


def _blobs(history: History) -> FileBlobs:
    return FileBlobs(history.blobs_dir)


# -- which there are --------------------------------------------------------------------------------------------------


def _listed(history: History, coverage: Coverage, execution: str) -> list[AssetListed]:
    rows = (row for run in coverage.runs for row in history.assets(run) if (row.run, row.step, row.attempt) in coverage)
    found = {row.asset: _made(row) for row in islice(rows, ASSETS)}
    for asset in _in_result(history, execution) if execution else ():
        found.setdefault(asset.id, asset)
    return list(found.values())


def _made(row: AssetRow) -> AssetListed:
    return AssetListed(row.asset, row.name, row.files, row.size, format_execution_id(row.run, row.step, row.attempt))


def _in_result(history: History, execution: str) -> Iterator[AssetListed]:
    """Those in the result of an execution, wherever they were made."""
    end = history.chain_end(execution)
    outcome = None if end is None else history.outcome(end.id)
    if not isinstance(outcome, Succeeded):
        return
    blobs = _blobs(history)
    for id in dict.fromkeys(one.id for one in outcome.value.references if one.kind == "asset"):  # noqa: A001
        try:
            name, files, size = Asset(id, blobs).metadata
        except (BlobMissing, BlobDamaged):
            name, files, size = None, -1, 0
        yield AssetListed(id, name, files, size, execution, in_result=True)


def _entries(history: History, asset: str) -> EntriesRead:
    blobs = _blobs(history)
    try:
        files = [StoredFile(one.path, one.blob, one.size, one.mode) for one in Asset(asset, blobs).entries]
    except (BlobMissing, BlobDamaged) as error:
        return EntriesRead(asset, (), str(error))
    return EntriesRead(asset, files)


# -- a look into one --------------------------------------------------------------------------------------------------


def _preview(history: History, asked: PreviewAsked) -> Preview:
    blobs = _blobs(history)
    try:
        entry = Asset(asked.asset, blobs)[asked.path]
        head = _first(entry, previews.HEAD)
        kind = previews.image_kind(head)
        if kind and entry.size > previews.IMAGE_BYTES:
            note = f"{size_text(entry.size)}: pictures are shown up to {size_text(previews.IMAGE_BYTES)}"
            return Binary(kind, head, note)
        if kind:
            data = _first(entry, previews.IMAGE_BYTES)
            return previews.picture_of(kind, data, asked.columns, asked.rows)
        if previews.is_archive(head):
            return _archive(blobs, entry, head)
        return previews.preview_of(entry.path, _first(entry, previews.TEXT_BYTES), entry.size)
    except (BlobMissing, BlobDamaged) as error:
        return Lost(str(error))
    except KeyError:
        return Lost(f"there is no file {asked.path!r} in the asset")


def _archive(blobs: FileBlobs, entry: AssetEntry, head: bytes) -> Preview:
    try:
        with open(blobs.path_of(entry.blob), "rb") as file:
            return previews.archive_facts(file)
    except OSError as error:
        return Lost(f"blob {entry.blob} cannot be read: {error.strerror}")
    except ValueError as error:
        return Binary("binary", head, str(error))


def _first(entry: AssetEntry, most: int) -> bytes:
    """The first bytes of a file. Raises `BlobMissing` or `BlobDamaged`; the latter only if all of it was read."""
    data = bytearray()
    for piece in entry.pieces():
        data += piece
        if len(data) > most:
            break
    return bytes(data[:most])


# -- writing them to the disk -----------------------------------------------------------------------------------------


def _download(history: History, asked: DownloadAsked) -> Update:
    try:
        asset = Asset(asked.asset, _blobs(history))
        entries = asset.entries if asked.path is None else [asset[asked.path]]
        with Destination(asked.directory) as destination:
            for entry in entries:  # before anything is written
                destination.check(entry.path, replace=asked.replace)
            for entry in entries:
                entry.write(destination, replace=asked.replace)
            where = destination.directory
    except FileThere as error:
        return DownloadBlocked(asked, str(error.filename))
    except (BlobMissing, BlobDamaged) as error:
        return Failed(asked, str(error))
    except OSError as error:
        return Failed(asked, f"{error.filename} cannot be written: {error.strerror}")
    count = f"{len(entries):,} file{'s' if len(entries) != 1 else ''}"
    return Said("info", f"{count}, {size_text(sum(entry.size for entry in entries))}, written below {where}")
