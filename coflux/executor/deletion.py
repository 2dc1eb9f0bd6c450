"""What leaves the store: old attempts with all below them, and families of runs that were deleted.

Whatever something else still points into stays: a chain (a cache hit, a deferral) or a handle that was shared. All of
this happens inside a transaction of the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from coflux.executor.database import Database
from coflux.executor.rows import PrunedRow, format_execution_id

__all__ = ["BULKY_TABLES", "Attempt", "prune", "purge_families", "remove_bulky"]

Attempt = tuple[str, int, int]
"""The run, the step and the attempt's number."""

_TABLES = ("executions", "groups", "shared", "assets")  # of which every row belongs to one attempt
BULKY_TABLES = ("logs", "metrics", "points")  # and these, of the second database

# Links into one run, or one step of it. The ids between `Rabc:` and `Rabc;` are those of run `Rabc`.
_LINKS_INTO = """
    SELECT run, step, attempt FROM executions WHERE next > ? || ':' AND next < ? || ';'
    UNION ALL SELECT run, step, attempt FROM shared WHERE child > ? || ':' AND child < ? || ';'
"""

_UNREFERENCED_FAMILIES = """
    SELECT id FROM runs AS top WHERE hidden AND id = root_run AND NOT EXISTS (
        SELECT 1 FROM runs AS member
        JOIN executions AS link ON link.next > member.id || ':' AND link.next < member.id || ';'
        JOIN runs AS source ON source.id = link.run
        WHERE member.root_run = top.id AND source.root_run <> top.id
    ) AND NOT EXISTS (
        SELECT 1 FROM runs AS member
        JOIN shared AS link ON link.child > member.id || ':' AND link.child < member.id || ';'
        JOIN runs AS source ON source.id = link.run
        WHERE member.root_run = top.id AND source.root_run <> top.id
    )
"""


class _Below(NamedTuple):
    """What is below an attempt: steps of its own run, and whole child runs."""

    steps: set[int]
    runs: set[str]

    def contains(self, run: str, attempted: str, step: int) -> bool:
        return attempted in self.runs or (attempted == run and step in self.steps)


# -- old attempts -----------------------------------------------------------------------------------------------------


def prune(main: Database, rows: Iterable[PrunedRow]) -> list[Attempt]:
    """Delete attempts with the steps they submitted, and all below those; return every attempt that is gone, so that
    the logs can go, too. An attempt is left as it is if anything below it is still pointed to."""
    gone: list[Attempt] = []
    for row in rows:
        below = _below(main, row)
        if not _referenced(main, row, below):
            gone += _remove(main, row, below)
    return gone


def _below(main: Database, row: PrunedRow) -> _Below:
    below = _Below(set(), set())
    if row.first_step is None:
        return below
    pruned = format_execution_id(row.run, row.step, row.attempt)
    sql = "SELECT number, parent FROM steps WHERE run = ? AND number >= ? ORDER BY number"
    for number, parent in main.run(sql, (row.run, row.first_step)):
        if parent is not None and (parent == pruned or int(parent.split(":")[1]) in below.steps):
            below.steps.add(number)
    family = "SELECT id, parent FROM runs WHERE root_run = (SELECT root_run FROM runs WHERE id = ?) ORDER BY number"
    for run_id, parent in main.run(family, (row.run,)):
        if parent is not None:
            called_by, step, _ = parent.split(":")
            if below.contains(row.run, called_by, int(step)):
                below.runs.add(run_id)
    return below


def _referenced(main: Database, row: PrunedRow, below: _Below) -> bool:
    """Whether something that stays points to what is below the attempt."""
    for place in [*(f"{row.run}:{number}" for number in below.steps), *below.runs]:
        for run, step, attempt in main.run(_LINKS_INTO, (place,) * 4):
            pruned = (run, step, attempt) == (row.run, row.step, row.attempt)
            if not pruned and not below.contains(row.run, run, step):
                return True
    return False


def _remove(main: Database, row: PrunedRow, below: _Below) -> list[Attempt]:
    gone = [(row.run, row.step, row.attempt)]
    for number in below.steps:
        gone += main.run("SELECT run, step, attempt FROM executions WHERE run = ? AND step = ?", (row.run, number))
    for run_id in below.runs:
        gone += main.run("SELECT run, step, attempt FROM executions WHERE run = ?", (run_id,))
    for table in _TABLES:
        main.run_many(f"DELETE FROM {table} WHERE run = ? AND step = ? AND attempt = ?", gone)
    main.run_many("DELETE FROM steps WHERE run = ? AND number = ?", [(row.run, number) for number in below.steps])
    for run_id in below.runs:
        main.run("DELETE FROM steps WHERE run = ?", (run_id,))
        main.run("DELETE FROM runs WHERE id = ?", (run_id,))
    return gone


def remove_bulky(logs: Database, attempts: Iterable[Attempt]) -> None:
    """Delete log entries and metrics of attempts. Those of one run are looked for together: logs have no index by
    attempt."""
    runs: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        runs.setdefault(attempt[0], []).append(attempt)
    for run, gone in runs.items():
        for table in BULKY_TABLES:
            logs.run(
                f"DELETE FROM {table} WHERE run = ? AND (step, attempt) IN"
                " (SELECT json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?))",
                (run, json.dumps(gone)),
            )


# -- deleted families -------------------------------------------------------------------------------------------------


def purge_families(main: Database) -> None:
    """Delete the rows of hidden families that nothing refers to, and targets that were only theirs."""
    while families := main.run(_UNREFERENCED_FAMILIES):  # what a purged run pointed to may be free now
        for (root,) in families:
            _purge(main, root)


def _purge(main: Database, root: str) -> None:
    members = main.run("SELECT id FROM runs WHERE root_run = ?", (root,))
    family = "(SELECT id FROM runs WHERE root_run = ?)"
    targets = main.run(f"SELECT DISTINCT target FROM steps WHERE run IN {family}", (root,))
    for table in ("steps", *_TABLES):
        main.run_many(f"DELETE FROM {table} WHERE run = ?", members)
    main.run("DELETE FROM runs WHERE root_run = ?", (root,))
    unused = "NOT EXISTS (SELECT 1 FROM steps WHERE target = targets.id)"
    main.run_many(f"DELETE FROM targets WHERE id = ? AND {unused}", targets)
