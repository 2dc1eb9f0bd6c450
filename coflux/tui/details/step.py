"""A step: its state, why it is so, its error, arguments and result, and its attempts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from coflux.display.reasons import reason_of
from coflux.display.text import duration, size
from coflux.display.why import decisions, memo_text, switch_text
from coflux.executor.decisions import Attempt
from coflux.executor.messages import Failed, Terminated
from coflux.executor.rows import ExecutionRow, parse_execution_id
from coflux.tui.details.error import paint_error, paint_termination
from coflux.tui.details.group import describe_group
from coflux.tui.details.page import Line, Page, ToAttempt, ToRun, ToStep
from coflux.tui.details.values import paint_value
from coflux.tui.painting import Glyphs, bar, mark_of, seconds_of
from coflux.tui.text import clean, fit, pad
from coflux.tui.tree import Kind, Node, Rank
from coflux.tui.updates import Details

__all__ = ["describe"]

ARGUMENT_LINES = 4  # of the summary of an argument, until it is unfolded
RESULT_LINES = 14
ATTEMPTS = 20  # the newest ones
WAITED_FOR = 5
DAY = 86_400.0  # seconds
BAR_WIDTH = 16  # cells
SHORTEST_WAIT = 0.001  # seconds that are told


def describe(
    node: Node | None,
    rank: Rank | None,
    details: Details | None,
    width: int,
    now: float,
    glyphs: Glyphs,
    unfolded: Collection[str] = (),
    root: str = "",
) -> Page:
    """The page about a row of the tree.

    Args:
        rank: which attempt of a step; `None` for the newest.
        details: what is stored of it, as far as that is here: those of another execution are left out.
        width: cells.
        now: seconds since the epoch.
        unfolded, root: see `Page`.
    """
    page = Page(width, glyphs, unfolded, root)
    if node is None:
        return page
    if node.kind is Kind.GROUP:
        describe_group(page, node, now)
        return page
    shown = node.shared or node
    rank = shown.rank if rank is None or rank not in shown.attempts else rank
    row = shown.attempts.get(rank)
    if row is None:
        page.line(("not there yet", "dim"))
        return page
    known = details if details is not None and details.row.id == row.id else None
    _head(page, shown, rank, row, now)
    _facts(page, shown, row, known, now)
    _why(page, node, row, known, now)
    if known is not None:
        _outcome(page, known)
        _values(page, known)
    if len(shown.attempts) > 1:
        _attempts(page, shown, rank, now)
    return page


def _head(page: Page, node: Node, rank: Rank, row: ExecutionRow, now: float) -> None:
    """`✗ failed   R1:3:2   attempt 2/3   7.6s`"""
    mark = mark_of(row, row.status)
    facts: list[Line] = [[(f"{page.glyphs.mark(mark)} {row.status.replace('_', ' ')}", mark.style or "bold")]]
    facts.append([(row.id, "dim")])
    if len(node.attempts) > 1:
        ranks = sorted(node.attempts)
        left, right = page.glyphs.between
        facts.append([("attempt ", "dim"), (f"{left}{ranks.index(rank) + 1}/{len(ranks)}{right}", "bold")])
    seconds = seconds_of(row, now)
    if seconds is not None:
        facts.append([(duration(seconds), "bold")])
    page.facts(facts)


def _facts(page: Page, node: Node, row: ExecutionRow, details: Details | None, now: float) -> None:
    """When and how long, and what it took; then what was called."""
    facts: list[Line] = []
    if row.started_at is not None:
        form = "%H:%M:%S" if now - row.started_at < DAY else "%Y-%m-%d %H:%M:%S"
        facts.append(_fact("began", time.strftime(form, time.localtime(row.started_at))))
    if row.status not in ("cached", "deferred"):
        ready = row.created_at if row.due_at is None else max(row.due_at, row.created_at)
        until = row.started_at or row.finished_at or now
        if until - ready >= SHORTEST_WAIT:
            facts.append(_fact("queued", duration(until - ready)))
    if row.cpu_seconds is not None:
        facts.append(_fact("cpu", duration(row.cpu_seconds)))
    for name, count in [("memory", row.peak_memory), ("read", row.read_bytes), ("wrote", row.written_bytes)]:
        if count:
            facts.append(_fact(name, size(count)))
    if row.status == "running" and row.pid is not None:
        facts.append(_fact("process", str(row.pid)))
    page.facts(facts)
    progress = node.progress
    if progress is not None and row.status == "running" and progress.fraction is not None:
        left = "" if progress.eta is None else f"  ~{duration(progress.eta)} left"
        done = bar(progress.fraction, min(BAR_WIDTH, page.room), page.glyphs)
        page.line((done, "cyan"), (f" {progress.fraction:.0%}", "bold"), (left, "dim"))
    if details is not None:
        step = details.step
        page.line((step.type, "dim"), (" ", ""), (clean(f"{step.module}/"), "dim"), (clean(step.name), ""))


def _fact(name: str, text: str) -> Line:
    return [(f"{name} ", "dim"), (text, "")]


# -- why --------------------------------------------------------------------------------------------------------------


def _why(page: Page, node: Node, row: ExecutionRow, details: Details | None, now: float) -> None:
    """What led to its state, and where it goes on."""
    why = None if details is None else details.why
    attempt = None if why is None else next((one for one in why.attempts if one.id == row.id), None)
    if row.older_code:
        page.text("its code has changed since", "yellow")
    if attempt is None:
        reason = reason_of(row, now)
        if reason:
            page.text(reason, "dim")
    else:
        assert details is not None
        for text in _decisions(attempt, details.before, now):
            page.text(text, "dim")
        for awaited in attempt.waits_for[:WAITED_FOR]:
            _way(page, f"waits for {awaited}", awaited)
    if why is not None:
        if why.cache == "unkeyable":
            page.text(f"cache {switch_text('unkeyable')}", "dim")
        if why.memo.state == "unkeyable" or why.memo.shared_by:
            page.text(f"memo {memo_text(why.memo)}", "dim")
    if node.kind is Kind.LINK:
        _way(page, f"memoised: this submission was given the step {row.run}:{row.step}", row.id)
    _goes_on(page, row)


def _decisions(attempt: Attempt, before: int | None, now: float) -> Iterator[str]:
    """As `coflux why` has them, but for what goes without saying."""
    for text in decisions(attempt, now):
        if text == "queued: ready" and before is not None:
            yield f"queued: ready, {f'{before:,} before it' if before else 'the next'}"
        elif text not in ("submitted", "queued: ready") and not text.startswith("became the run "):
            yield text


def _goes_on(page: Page, row: ExecutionRow) -> None:
    if row.next is None:
        return
    run, step, attempt = parse_execution_id(row.next)
    match row.status:
        case "spawned":
            page.line((f"{page.glyphs.arrow} ", "blue"), (f"goes on as run {run}", "blue"), link=ToRun(run))
        case "cached":
            _way(page, f"result of {row.next}", row.next)
        case "deferred":
            _way(page, f"the newer submission {row.next}", row.next)
        case _ if (run, step) == (row.run, row.step):
            page.line((f"{page.glyphs.arrow} ", "dim"), (f"goes on with attempt {attempt}", "dim"))
        case _:
            _way(page, f"goes on as {row.next}", row.next)


def _way(page: Page, text: str, execution: str) -> None:
    """A line that leads to another step."""
    run, step, _ = parse_execution_id(execution)
    page.line((f"{page.glyphs.arrow} ", "blue"), (text, "blue"), link=ToStep(run, step))


# -- values -----------------------------------------------------------------------------------------------------------


def _outcome(page: Page, details: Details) -> None:
    origin = f"of {details.source}" if details.source not in ("", details.row.id) else ""
    match details.outcome:
        case Failed():
            page.heading("Error", origin)
            paint_error(page, details)
        case Terminated() as outcome:
            page.heading(outcome.kind.replace("_", " ").capitalize(), origin)
            paint_termination(page, outcome)


def _values(page: Page, details: Details) -> None:
    if details.arguments:
        page.heading("Arguments")
        for name, value in zip(details.step.parameters, details.arguments, strict=False):
            paint_value(page, name, value, f"argument {name}", lines=ARGUMENT_LINES)
    if details.result is not None:
        origin = f"of {details.source}" if details.source != details.row.id else ""
        page.heading("Result", origin)
        paint_value(page, "", details.result, "result", lines=RESULT_LINES)


def _attempts(page: Page, node: Node, chosen: Rank, now: float) -> None:
    """The newest last. An attempt of the run that the step became is named by that run."""
    page.heading("Attempts", ", and . browse")
    ranks = sorted(node.attempts)
    if len(ranks) > ATTEMPTS:
        page.line((f"{page.glyphs.ellipsis} {len(ranks) - ATTEMPTS} before", "dim"))
    for number, rank in list(enumerate(ranks, 1))[-ATTEMPTS:]:
        row = node.attempts[rank]
        mark = mark_of(row, row.status)
        seconds = seconds_of(row, now)
        pointer = page.glyphs.closed if rank == chosen else " "
        taken = "" if seconds is None else duration(seconds)
        problem = clean(node.problems.get(rank, "") or reason_of(row, now), 300)
        trigger = "" if row.trigger in ("submission", "retry") else f"  {row.trigger}"
        page.line(
            (f"{pointer} ", "bold"),
            (f"{number:>2} ", "bold" if rank == chosen else ""),
            (f"{page.glyphs.mark(mark)} {pad(fit(row.status.replace('_', ' '), 10), 10)} ", mark.style),
            (f"{taken:>7}", ""),
            (trigger, "dim"),
            (f"  {row.id}" if len(rank) > 1 else "", "dim"),
            (f"  {problem}" if problem else "", "red" if rank in node.problems else "dim"),
            link=ToAttempt(rank),
        )
