"""What the scheduler asks of the store while it decides (`core.archive.Archive`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coflux import asset_manifest
from coflux.encoded import BlobDamaged, BlobMissing, Value
from coflux.executor.blobs import FileBlobs
from coflux.executor.core.archive import Recorded
from coflux.executor.core.state import State
from coflux.executor.database import StoreError
from coflux.executor.messages import Outcome, Succeeded
from coflux.executor.reading import OUTCOME, decode
from coflux.executor.rows import UNFINISHED, ExecutionRow
from coflux.executor.store import Store

__all__ = ["StoreArchive", "recorded"]

_T = TypeVar("_T")


class StoreArchive:
    """Answers from what has been committed. A store that cannot be read answers that there is nothing, and warns."""

    def __init__(self, store: Store, blobs: FileBlobs, warn: Callable[[str], None]) -> None:
        """
        Args:
            warn: takes a line for people when a result cannot be used.
        """
        self._store = store
        self._blobs = blobs
        self._warn = warn

    def cached(self, workspaces: tuple[str, ...], key: bytes, since: float) -> Recorded | None:
        try:
            for row in self._store.cached(workspaces, key, since):
                outcome = _outcome_of(self._store, row)
                if isinstance(outcome, Succeeded) and self._usable(row, outcome.value):
                    return recorded(self._store, row)
        except StoreError as error:
            self._warn(f"the cache cannot be read, so nothing is taken from it: {error}")
        return None

    def recall(self, execution_id: str) -> Recorded | None:
        return self._of_chain_end(execution_id, lambda row: recorded(self._store, row))

    def end_of(self, execution_id: str) -> str | None:
        return self._of_chain_end(execution_id, lambda row: row.id)

    def _of_chain_end(self, execution_id: str, read: Callable[[ExecutionRow], _T]) -> _T | None:
        """What `read` makes of the last row of the chain; `None` if there is none that can be read."""
        try:
            row = self._store.chain_end(execution_id)
            return None if row is None else read(row)
        except StoreError as error:
            self._warn(f"what became of {execution_id} cannot be read: {error}")
        except ValueError:
            pass  # no id: nobody knows such an execution
        return None

    def lineage(self, workspace: str) -> tuple[str, ...]:
        return self._store.workspaces.lineage(workspace)

    def new_run_id(self) -> str:
        return self._store.new_run_id()

    def _usable(self, row: ExecutionRow, value: Value) -> bool:
        try:
            if value.blob is not None:
                self._blobs.check(value.blob, value.size)
            for reference in value.references:
                if reference.kind == "asset":
                    self._check_asset(reference.id)
        except (BlobMissing, BlobDamaged, OSError, ValueError) as error:
            self._warn(f"the result of {row.id} is not taken from the cache: {error}")
            return False
        return True

    def _check_asset(self, asset: str) -> None:
        """Raise if something of an asset is missing. What is in its files, whoever reads them sees."""
        for file in asset_manifest.decode(b"".join(self._blobs.pieces(asset))).files:
            if not self._blobs.exists(file.blob):
                raise BlobMissing(f"the content of {file.path!r} in asset {asset} is not in the store")


def recorded(store: Store, row: ExecutionRow) -> Recorded | None:
    """What a row says of an execution that has ended; `None` while it has not."""
    outcome = _outcome_of(store, row)
    if outcome is None:
        return None
    module, name = store.target_of(row.run, row.step)
    return Recorded(row.id, State(row.status), outcome, row.fingerprint or b"", row.created_at, module, name)


def _outcome_of(store: Store, row: ExecutionRow) -> Outcome | None:
    if row.outcome is None or row.status in UNFINISHED:
        return None
    return decode(store.path, OUTCOME, row.outcome)
