"""Rows and encoded columns as they come out of the database: what the writer and the readers of a store share.

Everything is checked, since a file can be damaged; what makes no sense is a `StoreError` that names the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from coflux.encoded import Value, preview_of
from coflux.executor.database import Database, damaged
from coflux.executor.messages import ArgumentKey, Outcome, RunOptions, TargetSpec
from coflux.executor.rows import ExecutionRow, GroupRow, Row, RunRow, SharedRow, WorkspaceRow, parse_execution_id

__all__ = [
    "ARGUMENTS",
    "BARE_EXECUTION_FIELDS",
    "EXECUTION_FIELDS",
    "KEYS",
    "OPTIONS",
    "OUTCOME",
    "RUN_FIELDS",
    "STEP_FIELDS",
    "TARGET",
    "chain_end",
    "decode",
    "groups_of",
    "previews",
    "select",
    "shared_of",
    "workspaces_in",
]

OUTCOME: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)
KEYS: msgspec.msgpack.Decoder[tuple[ArgumentKey | None, ...]] = msgspec.msgpack.Decoder(tuple[ArgumentKey | None, ...])
OPTIONS = msgspec.msgpack.Decoder(RunOptions)
ARGUMENTS: msgspec.msgpack.Decoder[tuple[Value, ...]] = msgspec.msgpack.Decoder(tuple[Value, ...])
TARGET = msgspec.msgpack.Decoder(TargetSpec)

_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, TypeError)  # TypeError: text where bytes should be

_RowType = TypeVar("_RowType", bound=Row)
_Decoded = TypeVar("_Decoded")


def _fields(row_type: type[Row], without: str = "") -> str:
    names = row_type.__struct_fields__
    return ", ".join("NULL" if name == without else f'"{name}"' for name in names)


RUN_FIELDS = _fields(RunRow)
EXECUTION_FIELDS = _fields(ExecutionRow)
BARE_EXECUTION_FIELDS = _fields(ExecutionRow, without="outcome")
STEP_FIELDS = (
    'run, number, parent, "group", targets.module, targets.name, targets.type, targets.spec, arguments, depth,'
    " created_at, keys, memo_key, cache_key, defer_key, spawned"
)
"""Of a step, in the order of `StepRow`, from `steps JOIN targets ON targets.id = target`."""


@cache
def _flags(row_type: type[Row]) -> int:
    """How many booleans it has, which it has last: SQLite has none."""
    return [field.type for field in msgspec.structs.fields(row_type)].count(bool)


def select(database: Database, row_type: type[_RowType], sql: str, parameters: Sequence[object] = ()) -> list[_RowType]:
    """Run a query whose columns are the fields of `row_type`. Raises `StoreError` if a row is not what it should be."""
    rows: list[Any] = database.run(sql, parameters)
    flags = _flags(row_type)
    if flags:
        rows = [(*row[:-flags], *map(bool, row[-flags:])) for row in rows]
    try:
        return msgspec.convert(rows, list[row_type])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise damaged(database.path, error) from error


def decode(path: str, decoder: msgspec.msgpack.Decoder[_Decoded], data: bytes) -> _Decoded:
    """Decode a column of the database at `path`. Raises `StoreError` if it cannot be."""
    try:
        return decoder.decode(data)
    except _UNDECODABLE as error:
        raise damaged(path, error) from error


def previews(database: Database, arguments: bytes) -> tuple[str, ...]:
    """A line for each of a step's encoded arguments."""
    values = decode(database.path, ARGUMENTS, arguments)
    try:
        return tuple(preview_of(value) for value in values)
    except _UNDECODABLE as error:
        raise damaged(database.path, error) from error


def chain_end(database: Database, execution_id: str, fields: str) -> ExecutionRow | None:
    """Return the last execution of a chain, as far as it is recorded; `None` if there is no such execution.

    Attempts are pruned only when others of their step came after them, so where one is missing, its chain goes on with
    the next one that is there. Raises `ValueError` for what is no execution id.
    """
    sql = f"SELECT {fields} FROM executions WHERE run = ? AND step = ? AND attempt >= ? ORDER BY attempt LIMIT 1"
    end: ExecutionRow | None = None
    following: str | None = execution_id
    seen = set[str]()
    while following is not None and following not in seen:
        seen.add(following)
        found = select(database, ExecutionRow, sql, parse_execution_id(following))
        if not found:
            break
        end = found[0]
        following = end.next
    return end


def groups_of(database: Database, run_id: str) -> list[GroupRow]:
    sql = "SELECT * FROM groups WHERE run = ? ORDER BY step, attempt, number"
    return select(database, GroupRow, sql, (run_id,))


def shared_of(database: Database, run_id: str) -> list[SharedRow]:
    sql = "SELECT * FROM shared WHERE run = ? ORDER BY step, attempt, number"
    return select(database, SharedRow, sql, (run_id,))


def workspaces_in(database: Database) -> list[WorkspaceRow]:
    return select(database, WorkspaceRow, "SELECT * FROM workspaces ORDER BY name")
