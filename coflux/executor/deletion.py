"""What leaves the store: old attempts with all below them, and families of runs that were deleted.

Whatever something else still points into stays: a chain (a cache hit, a deferral) or a handle that was shared. All of
this happens inside a transaction of the caller's; when a family leaves, and in what pieces, `collection.py` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from coflux.executor.database import Database
from coflux.executor.rows import PrunedRow, format_execution_id

__all__ = [
    "BULKY_TABLES",
    "SOME",
    "TABLES",
    "Attempt",
    "delete_some",
    "hidden_members",
    "hide_families",
    "prune",
    "referring_families",
    "remove_bulky",
]

Attempt = tuple[str, int, int]
"""The run, the step and the attempt's number."""

_TABLES = ("executions", "groups", "shared", "assets")  # of which every row belongs to one attempt
TABLES = ("steps", *_TABLES)  # of which every row belongs to one run
BULKY_TABLES = ("logs", "metrics", "points")  # and these, of the second database

SOME = 100  # rows; they can be long

_KEYS = {  # beside the run
    "steps": "number",
    "executions": "step, attempt",
    "groups": "step, attempt, number",
    "shared": "step, attempt, number",
    "assets": "step, attempt, asset",
    "logs": "id",
    "metrics": "step, attempt, number",
    "points": "step, attempt, metric, first",
}

# Links into one run, or one step of it. The ids between `Rabc:` and `Rabc;` are those of run `Rabc`.
_LINKS_INTO = """
    SELECT run, step, attempt FROM executions WHERE next > ? || ':' AND next < ? || ';'
    UNION ALL SELECT run, step, attempt FROM shared WHERE child > ? || ':' AND child < ? || ';'
"""
_LINKS_INTO_FAMILY = """
    SELECT source.root_run FROM runs AS member
    JOIN executions AS link ON link.next > member.id || ':' AND link.next < member.id || ';'
    JOIN runs AS source ON source.id = link.run
    WHERE member.root_run = ?1 AND source.root_run <> ?1
    UNION SELECT source.root_run FROM runs AS member
    JOIN shared AS link ON link.child > member.id || ':' AND link.child < member.id || ';'
    JOIN runs AS source ON source.id = link.run
    WHERE member.root_run = ?1 AND source.root_run <> ?1
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


def hide_families(main: Database, roots: Iterable[str]) -> None:
    """Make settled families invisible: nobody is shown them, the cache uses nothing of them, their keys are free."""
    main.run_many(
        "UPDATE runs SET hidden = 1, idempotency_key = NULL WHERE root_run = ?1 AND NOT hidden"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE root_run = ?1 AND NOT settled)",
        [(root,) for root in roots],
    )


def hidden_members(main: Database, root: str) -> list[str]:
    """The runs of a hidden family, none for any other."""
    return [run for (run,) in main.run("SELECT id FROM runs WHERE root_run = ? AND hidden", (root,))]


def referring_families(main: Database, root: str) -> set[str]:
    """The families whose chains or shared handles lead into this one."""
    return {source for (source,) in main.run(_LINKS_INTO_FAMILY, (root,))}


def delete_some(database: Database, table: str, run: str) -> int:
    """Delete some rows of a run, `SOME` or what there is; return how many it were."""
    key = _KEYS[table]
    database.run(
        f"DELETE FROM {table} WHERE run = ?1 AND ({key}) IN (SELECT {key} FROM {table} WHERE run = ?1 LIMIT {SOME})",
        (run,),
    )
    deleted: int = database.run("SELECT changes()")[0][0]
    return deleted
