"""All that is stored of one execution."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor.history import History
from coflux.executor.rows import parse_execution_id
from coflux.tui.readers.base import Reader
from coflux.tui.updates import Details, DetailsAsked, Request, Update

__all__ = ["DetailsReader"]


class DetailsReader(Reader):
    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if not isinstance(request, DetailsAsked):
            return
        row = history.execution(request.execution)
        if row is not None:
            run, step, _ = parse_execution_id(request.execution)
            yield Details(row, history.arguments(run, step), history.outcome(request.execution))
