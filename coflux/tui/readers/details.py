"""All that is stored of one execution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from coflux.encoded import Frame, Value, json_of, preview_of, summary_of
from coflux.executor.causes import Cause, GroupMember, cause_chain, members_of, notes_of
from coflux.executor.history import History
from coflux.executor.messages import Failed, Succeeded
from coflux.executor.news import News
from coflux.executor.rows import ExecutionRow
from coflux.tui.readers.base import Reader
from coflux.tui.readers.excerpts import excerpts
from coflux.tui.updates import Details, DetailsAsked, Request, ShownValue, Update

__all__ = ["DetailsReader", "details_of"]


class DetailsReader(Reader):
    """Of several requests that come together the last one counts: the cursor has moved on."""

    def __init__(self) -> None:
        self._wanted = ""

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, DetailsAsked):
            self._wanted, self.busy = request.execution, True
        yield from ()

    def read(self, history: History, news: News) -> Iterator[Update]:
        if not self._wanted:
            return
        wanted, self._wanted, self.busy = self._wanted, "", False
        row = history.execution(wanted)
        if row is not None:
            yield details_of(history, row)


def details_of(history: History, row: ExecutionRow) -> Details:
    """Read what there is about an execution."""
    [step] = history.steps(row.run, row.step - 1, limit=1)
    outcome, source = history.outcome(row.id), row.id
    if outcome is None:
        end = history.chain_end(row.id)
        outcome, source = (None, "") if end is None else (history.outcome(end.id), end.id)
    details = Details(
        row,
        step,
        [_shown(value) for value in history.arguments(row.run, row.step)],
        outcome,
        "" if outcome is None else source,
        why=history.why(row.run, row.step),
        before=history.queued_before(row) if row.status == "queued" and row.reason == "ready" else None,
    )
    match outcome:
        case Succeeded(value):
            return details._replace(result=_shown(value))
        case Failed(failure):
            causes, members = cause_chain(failure), members_of(failure)
            executed_at = row.finished_at or row.created_at
            return details._replace(
                causes=causes,
                notes=notes_of(failure),
                members=members,
                excerpts=excerpts(_frames(causes, members), executed_at),
            )
    return details


def _shown(value: Value) -> ShownValue:
    return ShownValue(preview_of(value), summary_of(value) or "", json_of(value), value.format == "json", value.size)


def _frames(causes: Iterable[Cause], members: Sequence[GroupMember]) -> Iterator[Frame]:
    for cause in causes:
        yield from reversed(cause.frames)
    for member in members:
        yield from _frames(member.chain, member.members)
