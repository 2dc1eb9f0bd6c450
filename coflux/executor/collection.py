"""One garbage collection, in its parts:

    look            what refers to what, and what is to go         reads only; any thread
    delete_rows     hidden first, then logs, rows, and the runs    in steps, by the store's writer
    remove_blobs    of which no row speaks any more                any thread
    shrink          the databases' files                           in steps, by the store's writer
    measure         what is left                                   any thread

Rows go before the blobs that they name. So whenever it is killed, what is left is whole: a hidden family lacks some
rows, or a blob is there for nobody, and the next collection goes on with that.

**No blob goes that somebody is about to refer to.** Values are written before the rows that name them; what is so
young that its row may be yet to come stays. For an execution that is everything since it started, for a client
everything since it connected (see `Collector`), and for clients that encode before they connect, an hour (`SAFE_AGE`).
Writing what is there already renews it (`FileBlobs.write`), so an old blob that is used again is young.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Generator
from functools import partial
from typing import Any

from coflux.executor.blobs import FileBlobs
from coflux.executor.deletion import BULKY_TABLES, SOME, TABLES
from coflux.executor.marking import Decision, Limits, Survey, choose, reached
from coflux.executor.requests import Collected
from coflux.executor.retention import Retention
from coflux.executor.store import Store
from coflux.executor.survey import directory_size, survey, weigh_logs

__all__ = ["SAFE_AGE", "GarbageCollection", "Steps"]

SAFE_AGE = 3600.0  # seconds

Steps = Generator[Callable[[], Any], Any, None]
"""Calls that take milliseconds each and raise what `Store.commit` raises. Whoever makes them sends in what each
returns, and makes one that the store was too busy for again."""

HIDDEN_AT_ONCE = 50  # families
CHECKPOINT_PATIENCE = 10.0  # seconds


class GarbageCollection:
    """Call its parts in order, each after the one before, and then `report`; if `dry_run`, only `look`."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        untouched_since: float,
        busy: Callable[[], Collection[str]] = tuple,
        *,
        dry_run: bool = False,
    ) -> None:
        """
        Args:
            untouched_since: a blob that was written since stays, whoever refers to it; seconds since the epoch.
            busy: tells the families that somebody is busy with, by their roots: they are not deleted.
            dry_run: only look.
        """
        self._store = store
        self._noted_targets = store.note_targets()
        self._data_dir = os.path.dirname(store.path)
        self._blobs = FileBlobs(os.path.join(self._data_dir, "blobs"))
        self._limits = limits
        self._untouched_since = untouched_since
        self._busy = busy
        self._spared = frozenset(busy())
        self.dry_run = dry_run
        self._found = Survey()
        self._decision = Decision([], set(), 0)
        self._gone: set[str] = set()
        self._runs = self._rows = self._log_rows = self._blobs_removed = self._after = 0
        self._shrunk = threading.Event()

    def look(self) -> None:
        """Raises `StoreError` if anything in the store cannot be read: then nothing may be removed."""
        self._found = found = survey(self._data_dir)
        if self.dry_run or (self._limits.size is not None and found.total > self._limits.size):
            weigh_logs(self._data_dir, found)
        self._decision = choose(found, self._limits, self._spared)
        if self.dry_run:
            self._foresee()

    def _foresee(self) -> None:
        """What would be removed, by what was found. Logs of families that were deleted before are gone already."""
        decision, families = self._decision, self._found.families
        self._gone = set(decision.gone)
        self._runs = sum(families[root].runs for root in decision.expired)
        self._rows = sum(families[root].rows for root in decision.gone)
        self._log_rows = sum(families[root].log_rows for root in decision.gone.union(decision.expired))
        removed = [self._found.files[digest].size for digest in self._unreferenced()]
        self._blobs_removed = len(removed)
        freed = sum(families[root].size for root in decision.gone) + sum(removed)
        freed += sum(families[root].log_size for root in decision.gone.union(decision.expired))
        self._after = max(self._found.total - freed, 0)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def delete_rows(self) -> Steps:
        """Delete families, a little with every step."""
        retention = self._store.retention
        expired = self._decision.expired
        for start in range(0, len(expired), HIDDEN_AT_ONCE):
            busy = self._busy()
            some = [root for root in expired[start : start + HIDDEN_AT_ONCE] if root not in busy]
            yield partial(retention.hide, some)
        hidden = yield retention.hidden
        self._runs = sum(self._found.families[root].runs for root in set(expired).intersection(hidden))
        for root in hidden:
            for run in (yield partial(retention.members, root)):
                yield from self._delete(retention, BULKY_TABLES, run)
        yield from self._confirm(retention, self._decision.gone.intersection(hidden))
        for root in self._gone:
            for run in (yield partial(retention.members, root)):
                yield from self._delete(retention, TABLES, run)
            yield partial(retention.delete_runs, root)
            self._rows += self._found.families[root].runs
        stay = [family for root, family in self._found.families.items() if root not in self._gone]
        targets = self._found.targets.difference(*(family.targets for family in stay))
        yield partial(self._store.delete_targets, targets, self._noted_targets)
        contexts = self._found.contexts.difference(*(family.contexts for family in stay))
        yield partial(retention.delete_contexts, contexts)

    def _confirm(self, retention: Retention, gone: set[str]) -> Steps:
        """If somebody has begun to refer to a family before it was hidden, it stays, with all that it needs."""
        rescued = set()
        for root in gone:
            referring = yield partial(retention.referring, root)
            if not referring <= gone:
                rescued.add(root)
        self._gone = gone - reached(self._found.families, rescued)

    def _delete(self, retention: Retention, tables: Collection[str], run: str) -> Steps:
        for table in tables:
            deleted = SOME
            while deleted == SOME:
                deleted = yield partial(retention.delete_some, table, run)
                if table in BULKY_TABLES:
                    self._log_rows += deleted
                else:
                    self._rows += deleted

    # -- files --------------------------------------------------------------------------------------------------------

    def _unreferenced(self) -> list[str]:
        """The blobs that nothing refers to, but for those that are too young to tell."""
        files = self._orphans()
        return [digest for digest in files if self._found.files[digest].touched_at < self._untouched_since]

    def _orphans(self) -> list[str]:
        stay = (family.blobs for root, family in self._found.families.items() if root not in self._gone)
        kept = set[str]().union(*stay)
        return [digest for digest in self._found.files if digest not in kept]

    def remove_blobs(self) -> None:
        """Remove the files. Raises `OSError`."""
        for digest in self._unreferenced():
            self._blobs_removed += self._blobs.remove(digest, self._untouched_since) is not None
        self._blobs.remove_abandoned(self._untouched_since)

    def shrink(self) -> Steps:
        """Give back what the databases do not need."""
        while (yield self._store.retention.shrink_some):
            pass
        self._shrunk = self._store.checkpoint_soon()

    def measure(self) -> None:
        """Wait for the files to be shorter, and see how much is left; any thread. While somebody reads for long, the
        files stay as they are, until a later checkpoint."""
        self._shrunk.wait(CHECKPOINT_PATIENCE)
        self._after = directory_size(self._data_dir)

    def report(self, request: int) -> Collected:
        left = set(self._orphans()).difference(self._unreferenced())
        return Collected(
            request,
            dry_run=self.dry_run,
            runs=self._runs,
            rows=self._rows,
            log_entries=self._log_rows,
            blobs=self._blobs_removed,
            bytes_before=self._found.total,
            bytes_after=self._after,
            recent_blobs=len(left),
            recent_bytes=sum(self._found.files[digest].size for digest in left),
        )
