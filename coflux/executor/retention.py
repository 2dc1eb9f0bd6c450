"""What the store's writer does to let go of old data, in pieces that take milliseconds: each method is a transaction.

Any of them may be the last one before a kill: a family is hidden before anything of it goes, and the rows that say so
go last. `collection.py` knows the order. All raise what `Store.commit` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

from coflux.executor import deletion
from coflux.executor.database import Database

__all__ = ["Retention"]

PAGES = 256  # pages of 4 KiB that are given back at a time

_Transaction = Callable[..., AbstractContextManager[None]]


class Retention:
    """
    Attributes:
        logs: the second database, which may be replaced.
    """

    def __init__(self, main: Database, logs: Database, transaction: _Transaction) -> None:
        self._main = main
        self.logs = logs
        self._transaction = transaction

    def hide(self, roots: Sequence[str]) -> None:
        """Delete families, as far as anybody can see. Those that are unfinished by now stay."""
        with self._transaction(self._main):
            deletion.hide_families(self._main, roots)

    def hidden(self) -> list[str]:
        """Every hidden family, by its root."""
        return [root for (root,) in self._main.run("SELECT DISTINCT root_run FROM runs WHERE hidden")]

    def members(self, root: str) -> list[str]:
        """The runs of a hidden family."""
        return deletion.hidden_members(self._main, root)

    def referring(self, root: str) -> set[str]:
        """The families whose chains or shared handles lead into this one."""
        return deletion.referring_families(self._main, root)

    def delete_some(self, table: str, run: str) -> int:
        """Delete up to `deletion.SOME` rows of a run from a table; return how many."""
        database = self.logs if table in deletion.BULKY_TABLES else self._main
        with self._transaction(database):
            return deletion.delete_some(database, table, run)

    def delete_runs(self, root: str) -> None:
        """Delete what is left of a hidden family when all else of it is gone."""
        with self._transaction(self._main):
            self._main.run("DELETE FROM runs WHERE root_run = ? AND hidden", (root,))

    def delete_contexts(self, contexts: Collection[int]) -> None:
        """Delete contexts, but for those that runs were started in."""
        if not contexts:
            return
        unused = "NOT EXISTS (SELECT 1 FROM runs WHERE context = contexts.id)"
        with self._transaction(self._main):
            self._main.run_many(f"DELETE FROM contexts WHERE id = ? AND {unused}", [(one,) for one in contexts])

    def shrink_some(self) -> bool:
        """Give some free pages back to the file system; `False` when there are none left.

        The files get shorter with the next checkpoint.
        """
        for database in (self._main, self.logs):
            free = _free_pages(database)
            if free:
                with self._transaction(database):
                    database.run(f"PRAGMA incremental_vacuum({PAGES})")
                if _free_pages(database) < free:
                    return True
        return False


def _free_pages(database: Database) -> int:
    pages: int = database.run("PRAGMA freelist_count")[0][0]
    return pages
