"""Handles as executions name them: by id, or by number (`@n` is the n-th submission of the one that says so)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from coflux.encoded import Reference, Value
from coflux.executor.core.state import Execution

__all__ = ["ids_of", "numbered", "with_ids"]


def numbered(execution: Execution, handle: str) -> Execution | None:
    """What `@n` means when `execution` says it; `None` if the handle is an id."""
    return execution.submissions[int(handle[1:]) - 1] if handle.startswith("@") else None


def with_ids(values: tuple[Value, ...], execution: Execution) -> tuple[Value, ...]:
    """Replace `@n` references by the ids of the execution's submissions."""
    if not any(value.references for value in values):
        return values
    return tuple(_with_ids(value, execution) if value.references else value for value in values)


def _with_ids(value: Value, execution: Execution) -> Value:
    references = zip(value.references, ids_of(value.references, execution), strict=True)
    return replace(value, references=tuple([replace(reference, id=known) for reference, known in references]))


def ids_of(references: Iterable[Reference], execution: Execution) -> list[str]:
    """The ids of what `execution` refers to."""
    submitted = [(reference, numbered(execution, reference.id)) for reference in references]
    return [reference.id if found is None else found.id for reference, found in submitted]
