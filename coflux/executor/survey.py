"""Looking through a whole store for what refers to what. Takes seconds where there are millions of rows, so it reads
page by page with a connection of its own, on a thread of its own, while the writer works.

What is written meanwhile need not be seen: new rows belong to new or unfinished families, which stay, and whoever
refers to a blob anew has written it again just before, so it is too young to go (`FileBlobs.write`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec

from coflux.asset_manifest import blobs_of
from coflux.executor.blobs import FileBlobs
from coflux.executor.database import LOGS_FILE, MAIN_FILE, Database, damaged
from coflux.executor.deletion import BULKY_TABLES
from coflux.executor.marking import Family, Marks, Survey
from coflux.executor.reading import ARGUMENTS, OUTCOME, TARGET, decode

__all__ = ["directory_size", "survey", "weigh_logs"]

PAGE = 2000  # rows that one read takes
PATIENCE = 5.0  # seconds to wait for somebody who recovers or closes the store
ROW_SIZE = 150  # bytes that a row takes beside its long columns, in tables and indexes, about

_LONG = {  # the columns that are long
    "logs": 'coalesce(length(template), 0) + coalesce(length("values"), 0)',
    "metrics": "length(key)",
    "points": 'length(at) + length("values")',
}


def survey(data_dir: str) -> Survey:
    """Look through the store in `data_dir`. Raises `StoreError` if anything in it cannot be read."""
    with closing(Database(os.path.join(data_dir, MAIN_FILE), read_only=True, patience=PATIENCE)) as main:
        surveyor = _Surveyor(main, FileBlobs(os.path.join(data_dir, "blobs")))
        surveyor.look(data_dir)
    return surveyor.found


def weigh_logs(data_dir: str, found: Survey) -> None:
    """Find out how much of the logs belongs to each settled family. (Nobody else's can go.) Reads all of these logs, so
    it is only done when somebody asks what could go. Raises `StoreError` as `survey` does."""
    with closing(Database(os.path.join(data_dir, MAIN_FILE), read_only=True, patience=PATIENCE)) as main:
        runs = main.run("SELECT id, root_run FROM runs WHERE settled")
    with closing(Database(os.path.join(data_dir, LOGS_FILE), read_only=True, patience=PATIENCE)) as logs:
        for run, root in runs:
            family = found.families.get(root)
            if family is not None and family.settled:
                for table in BULKY_TABLES:
                    sql = f"SELECT count(*), coalesce(sum({_LONG[table]}), 0) FROM {table} WHERE run = ?"
                    [(rows, size)] = logs.run(sql, (run,))
                    family.log_rows += rows
                    family.log_size += size + rows * ROW_SIZE


def directory_size(data_dir: str) -> int:
    """The bytes of all files in a directory and those below it. Write-ahead logs come and go: instead of them, what of
    them is yet to make the databases' files longer."""
    total = sum(_growth(os.path.join(data_dir, name)) for name in (MAIN_FILE, LOGS_FILE))
    for parent, _, names in os.walk(data_dir):
        for name in names:
            if name.endswith(("-wal", "-shm")):
                continue
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                pass  # it went while we looked
    return total


def _growth(path: str) -> int:
    with closing(Database(path, read_only=True, patience=PATIENCE)) as database:
        [(size,)] = database.run("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return max(int(size) - os.path.getsize(path), 0)


class _Surveyor:
    def __init__(self, main: Database, blobs: FileBlobs) -> None:
        self.found = Survey()
        self._main = main
        self._blobs = blobs
        self._family_of: dict[str, Family] = {}
        self._marks: dict[str, Marks] = {}  # by the root of the family

    def look(self, data_dir: str) -> None:
        self.found.files = self._blobs.files()  # before all rows: what is written later is not a candidate
        self.found.total = directory_size(data_dir)
        self._runs()
        self._steps()
        self._executions()
        for table in ("shared", "assets"):
            self._belongings(table)
        self._settle()

    # -- tables -------------------------------------------------------------------------------------------------------

    def _runs(self) -> None:
        sql = (
            "SELECT number, id, root_run, settled, hidden, context, max(created_at, coalesce(finished_at, 0)) FROM runs"
            f" WHERE number > ? ORDER BY number LIMIT {PAGE}"
        )
        for _, run, root, settled, hidden, context, ended_at in _pages(self._main, sql, (0,)):
            family = self.found.families.get(root)
            if family is None:
                family = self.found.families[root] = Family(root)
                self._marks[root] = Marks()
            self._family_of[run] = family
            family.settled = family.settled and bool(settled)
            family.hidden = family.hidden or bool(hidden)
            family.runs += 1
            self._weigh(family, 0, ended_at)
            family.contexts.add(context)

    def _steps(self) -> None:
        sql = (
            "SELECT run, number, target, arguments, coalesce(length(keys), 0) FROM steps"
            f" WHERE (run, number) > (?, ?) ORDER BY run, number LIMIT {PAGE}"
        )
        for run, _, target, arguments, keys in _pages(self._main, sql, ("", 0)):
            family = self._family_of.get(run)
            if family is not None:
                self._weigh(family, len(arguments) + keys)
                family.targets.add(target)
                values = decode(self._main.path, ARGUMENTS, arguments)
                self._marks[family.root].values(values)

    def _executions(self) -> None:
        sql = (
            "SELECT run, step, attempt, next, awaits, outcome, max(created_at, coalesce(finished_at, 0))"
            f" FROM executions WHERE (run, step, attempt) > (?, ?, ?) ORDER BY run, step, attempt LIMIT {PAGE}"
        )
        for run, _, _, following, awaits, outcome, ended_at in _pages(self._main, sql, ("", 0, 0)):
            family = self._family_of.get(run)
            if family is None:
                continue
            marks = self._marks[family.root]
            self._weigh(family, 0 if outcome is None else len(outcome), ended_at)
            if following is not None:
                marks.executions.add(following)
            if awaits is not None:
                marks.executions.update(awaits.split())
            if outcome is not None:
                self._mark_outcome(marks, outcome)

    def _mark_outcome(self, marks: Marks, encoded: bytes) -> None:
        outcome = decode(self._main.path, OUTCOME, encoded)
        try:
            marks.outcome(outcome)
        except msgspec.DecodeError as error:
            raise damaged(self._main.path, error) from error

    def _belongings(self, table: str) -> None:
        """Rows of a table in which each names an execution, or an asset, in its fourth column."""
        key, named = {"shared": ("number", "child"), "assets": ("asset", "asset")}[table]
        sql = (
            f"SELECT run, step, attempt, {key}, {named} FROM {table} WHERE (run, step, attempt, {key}) > (?, ?, ?, ?)"
            f" ORDER BY run, step, attempt, {key} LIMIT {PAGE}"
        )
        for run, _, _, _, name in _pages(self._main, sql, ("", 0, 0, "" if table == "assets" else 0)):
            family = self._family_of.get(run)
            if family is not None:
                self._weigh(family, 0)
                marks = self._marks[family.root]
                (marks.executions if table == "shared" else marks.assets).add(name)

    def _weigh(self, family: Family, size: int, ended_at: float = 0.0) -> None:
        family.rows += 1
        family.size += ROW_SIZE + size
        family.ended_at = max(family.ended_at, ended_at)

    # -- what it comes to ---------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """From targets, assets and executions to blobs and families."""
        targets = {
            target: self._blobs_of_target(spec) for target, spec in self._main.run("SELECT id, spec FROM targets")
        }
        contents: dict[str, set[str]] = {}
        for root, marks in self._marks.items():
            family = self.found.families[root]
            family.blobs |= marks.blobs.union(*(targets.get(target, set()) for target in family.targets))
            for asset in marks.assets:
                if asset not in contents:
                    contents[asset] = {asset, *self._contents(asset)}
                family.blobs |= contents[asset]
            referred = (self._family_of.get(execution.partition(":")[0]) for execution in marks.executions)
            family.refers = {other.root for other in referred if other is not None and other is not family}
        self.found.targets = set(targets)
        self.found.contexts = {context for (context,) in self._main.run("SELECT id FROM contexts")}

    def _blobs_of_target(self, spec: bytes) -> set[str]:
        marks = Marks()
        marks.target(decode(self._main.path, TARGET, spec))
        return marks.blobs

    def _contents(self, asset: str) -> set[str]:
        try:
            with open(self._blobs.path_of(asset), "rb") as file:
                return blobs_of(file.read())
        except (FileNotFoundError, ValueError):
            return set()  # nobody gets to its files any more: whoever reads the asset is told


def _pages(database: Database, sql: str, start: Sequence[object]) -> Iterator[Any]:
    """All rows of a query, in pages that begin after the key of the last row before; no read lasts longer than one."""
    key = tuple(start)
    while rows := database.run(sql, key):
        yield from rows
        key = rows[-1][: len(key)]
