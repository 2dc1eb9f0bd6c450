"""Log entries in the database, by their ids: for readers that show any number of them."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection

from coflux.executor.database import Database
from coflux.executor.log_search import LogFilter, LogScope, conditions, scope_conditions

__all__ = ["bounds_of", "id_at", "ids_of", "live_query"]

NEIGHBOURS = 500  # ids to each side of the one that halving has found, among which the nearest in time is looked for

_LIVE = "SELECT id FROM logs WHERE live AND run IN (SELECT value FROM json_each(?))"


def ids_of(database: Database, scope: LogScope, after: int, until: int, wanted: LogFilter) -> array[int]:
    found = [("id > ? AND id <= ?", (after, until)), *scope_conditions(scope)]
    # The index on the runs' entries does not say whether one is live: to look at each row takes long.
    found.append((f"id NOT IN ({_LIVE})", (json.dumps(list(scope.runs)),)))
    found += conditions(wanted)
    where = " AND ".join(condition for condition, _ in found)
    parameters = [parameter for _, parameters in found for parameter in parameters]
    sql = f"SELECT id FROM logs INDEXED BY logs_by_run WHERE {where} ORDER BY id"
    return array("q", [number for (number,) in database.run(sql, parameters)])


def live_query(columns: str, scope: LogScope, wanted: LogFilter) -> tuple[str, list[object]]:
    """The query for the newest rows that are live, newest first; its last parameter, the limit, is the caller's."""
    found = [("live", ()), *scope_conditions(scope), *conditions(wanted)]
    where = " AND ".join(condition for condition, _ in found)
    sql = f"SELECT {columns} FROM logs WHERE {where} ORDER BY id DESC LIMIT ?"
    return sql, [parameter for _, parameters in found for parameter in parameters]


def bounds_of(database: Database, runs: Collection[str]) -> tuple[int, int]:
    sql = (
        "SELECT min((SELECT min(id) FROM logs WHERE run = wanted.value)),"
        " max((SELECT max(id) FROM logs WHERE run = wanted.value)) FROM json_each(?) AS wanted"
    )
    [(oldest, newest)] = database.run(sql, (json.dumps(list(runs)),))
    return oldest or 0, newest or 0


def id_at(database: Database, scope: LogScope, at: float) -> int:
    """By halving the ids of the runs, whatever else they must be like; then by looking around."""
    runs = json.dumps(list(scope.runs))
    low, high = bounds_of(database, scope.runs)
    if not high:
        return 0
    following = (
        "SELECT min((SELECT min(id) FROM logs WHERE run = wanted.value AND id >= ?)) FROM json_each(?) AS wanted"
    )
    while low < high:
        middle = (low + high) // 2
        next_id = database.run(following, (middle, runs))[0][0]
        if next_id is None or database.run("SELECT at FROM logs WHERE id = ?", (next_id,))[0][0] >= at:
            high = middle
        else:
            low = next_id + 1
    found = [("id BETWEEN ? AND ?", (high - NEIGHBOURS, high + NEIGHBOURS)), *scope_conditions(scope)]
    where = " AND ".join(condition for condition, _ in found)
    parameters = [parameter for _, parameters in found for parameter in parameters]
    nearest = database.run(f"SELECT id FROM logs WHERE {where} ORDER BY abs(at - ?), id LIMIT 1", [*parameters, at])
    return nearest[0][0] if nearest else high
