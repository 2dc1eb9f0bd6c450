"""`coflux runs inspect`: a run as a tree with what went wrong in it, or all about one step. No engine is needed."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import click
import msgspec

from coflux.cli.dossiers import Dossiers
from coflux.cli.engine import open_history, resolve_id
from coflux.cli.interrupted import advice, known_until, state_of
from coflux.cli.lines import Painter
from coflux.cli.options import complete_runs, json_option, project_option
from coflux.cli.outline import Drawing, failing, fold
from coflux.cli.result import describe_end, end_of_step, print_result
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import RunId
from coflux.cli.view import Branch, RunView, describe_counts
from coflux.cli.why import why_lines, why_object
from coflux.display.feed import ExecutionChanged, Feed, GroupOpened, HandleShared, StepSubmitted
from coflux.display.marks import MARKS
from coflux.display.reasons import problem_of
from coflux.display.text import duration, size, visible
from coflux.encoded import preview_of
from coflux.executor.document import VERSION, error_object, result_fields, run_object, step_objects
from coflux.executor.dossier import Dossier, dossier_of
from coflux.executor.dossier_document import (
    EVERYTHING,
    WIDEST,
    Limits,
    argument_object,
    dossier_object,
    fitting,
    shortened,
    shortened_step,
)
from coflux.executor.history import History
from coflux.executor.launch import engine_runs
from coflux.executor.messages import Outcome, Succeeded
from coflux.executor.rows import DEFAULT_WORKSPACE, ExecutionRow, RunRow, format_execution_id, parse_execution_id
from coflux.project import Project

__all__ = ["command"]

PIPE_WIDTH = 120  # columns where there is no terminal
FAILURES = 3  # different ones that are told in detail
TREE_LINES = 60  # of what failed and what led there
RESULT_LINES = 30
PROBLEMS = ("failed", "timed_out", "abandoned", "cancelled")


@click.command(short_help="Show a run as a tree with what went wrong, or all about a step.")
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@click.option("--depth", metavar="NUMBER", type=click.IntRange(min=1), help="Only so many levels of the tree.")
@click.option(
    "--failed", is_flag=True, help="Only what failed, and the steps that lead there; of what failed alike, some."
)
@json_option
@project_option
def command(project: Project, identifier: str, depth: int | None, failed: bool, as_json: bool) -> None:
    """Show a run with its steps, as it is now, and the steps that failed with their arguments, errors and last logs.

    RUN:STEP shows one step: its arguments, attempts, result or error, why it was executed, metrics and assets.

    With --failed --json the document has what one needs to mend a failure, in 8 KiB at most: where texts or lists are
    cut for that, it says so, and "cut" is true.
    """
    streams = open_streams()
    engine = engine_runs(project)
    with open_history(project) as history:
        found = resolve_id(history, identifier)
        if found.step is not None and (failed or depth is not None):
            raise click.UsageError("--depth and --failed are about the tree of a run: leave out the step")
        row = history.run(found.run)
        assert row is not None
        inspected = _Inspected(history, row, engine)
        if found.step is not None:
            about = _dossier_of_step(history, found)
            if as_json:
                streams.out.json(msgspec.json.encode(_step_document(inspected, about)))
            else:
                _print_step(streams, project, inspected, about)
        elif not as_json:
            _print_run(streams, project, inspected, depth, failed)
        elif failed:
            streams.out.json(_failed_document(inspected))
        else:
            streams.out.json(history.document_json(row.id, engine))
    if not as_json and not (engine or row.settled):
        streams.err.line(advice([row.id]))
    streams.finish()


class _Inspected(NamedTuple):
    history: History
    row: RunRow
    engine: bool

    @property
    def interrupted(self) -> bool:
        return not (self.engine or self.row.settled)


class _Alike(NamedTuple):
    """Steps that failed with the same error: one of them, and the ids of the others."""

    first: Branch
    others: list[str]

    @property
    def execution(self) -> ExecutionRow:
        """That of the first one."""
        assert self.first.execution is not None  # it has failed
        return self.first.execution

    @property
    def ids(self) -> list[str]:
        return [self.execution.id, *self.others]


def _tree(inspected: _Inspected) -> list[Branch]:
    """The run's steps with those of its child runs."""
    view = RunView()
    for event in Feed(inspected.history, inspected.row.id).events():
        match event:
            case GroupOpened(row):
                view.add_group(row)
            case StepSubmitted(step, spawned_by):
                view.add_step(step, spawned_by)
            case HandleShared(row):
                view.add_shared(row)
            case ExecutionChanged(row, outcome):
                view.update(row, problem_of(outcome))
            case _:
                pass
    return view.branches(known_until(*inspected, time.time()))


def _failures(branches: list[Branch]) -> list[_Alike]:
    """What went wrong, by target and error, in the order of the tree."""
    alike: dict[tuple[str, str], _Alike] = {}
    for branch in failing(branches):
        assert branch.execution is not None  # it has failed
        name = branch.line.title.partition("(")[0]
        known = alike.setdefault((name, branch.problem), _Alike(branch, []))
        if known.first is not branch:
            known.others.append(branch.execution.id)
    return list(alike.values())


# -- a run, for people ------------------------------------------------------------------------------------------------


def _print_run(streams: Streams, project: Project, inspected: _Inspected, depth: int | None, failed: bool) -> None:
    terminal = streams.out_terminal
    painter = Painter(terminal.color)
    width = _width()
    branches = _tree(inspected)
    for line in _heading(inspected, branches, painter):
        streams.out.line(line)
    drawing = Drawing(width, terminal.unicode, painter)
    shown = list(fold(branches, depth=depth, failed=failed))
    if shown:
        streams.out.line(drawing.header())
    end_of_tree = TREE_LINES if failed else len(shown)
    for branch in shown[:end_of_tree]:
        streams.out.line(drawing.line(branch))
    if len(shown) > end_of_tree:
        more = f"and {len(shown) - end_of_tree} more (`coflux runs inspect {inspected.row.id}` shows all)"
        streams.out.line(painter.paint(f"  {more}", "dim"))
    end, outcome = end_of_step(inspected.history, inspected.row.id)
    failures = _failures(branches)
    dossiers = Dossiers(painter, terminal.unicode, width, project.root)
    for alike in failures[:FAILURES]:
        streams.out.line("")
        for line in dossiers.failure(dossier_of(inspected.history, alike.execution), alike.others):
            streams.out.line(line)
    if len(failures) > FAILURES:
        streams.out.line("")
        streams.out.line(dossiers.others([id_ for alike in failures[FAILURES:] for id_ in alike.ids]))
    if end.status == "succeeded":
        streams.out.line("")
        streams.out.write("result: ")
        print_result(streams.out, outcome, raw=False)
    elif outcome is not None and not failures:
        streams.out.line("")
        streams.out.line(describe_end(f"run {inspected.row.id}", end, outcome))


def _width() -> int:
    """Columns of the terminal that standard output is."""
    try:
        return os.get_terminal_size(1).columns or PIPE_WIDTH
    except OSError:
        return PIPE_WIDTH


def _heading(inspected: _Inspected, branches: list[Branch], painter: Painter) -> Iterator[str]:
    history, row, engine = inspected
    state = painter.paint(state_of(row, engine).replace("_", " "), MARKS[row.status].style)
    place = "" if row.workspace == DEFAULT_WORKSPACE else f" in workspace {row.workspace}"
    yield f"run {row.id} {visible(f'{row.module}/{row.name}')} {state}{place}"
    if row.parent is not None:
        yield f"called by {row.parent}"
    facts = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.created_at))]
    if row.started_at is not None:
        facts.append(duration((row.finished_at or known_until(history, row, engine, time.time())) - row.started_at))
    states = Counter(branch.line.state for branch in branches)
    facts.append(describe_counts(sum((branch.below for branch in branches), states)))
    yield painter.paint("  ".join(facts), "dim")


# -- a run, what failed of it as JSON ---------------------------------------------------------------------------------


def _failed_document(inspected: _Inspected) -> bytes:
    """The document of a run without what went well: the steps that lead to a failure, each with its last attempt, as
    much of it as fits."""
    history, row, _ = inspected
    branches = _tree(inspected)
    _, outcome = end_of_step(history, row.id)
    result = result_fields(outcome)
    # The traceback of the error would say the same again.
    head = {"run": run_object(row, interrupted=inspected.interrupted), "error": error_object(outcome)}
    failures = _failures(branches)
    told = [(dossier_of(history, alike.execution), alike) for alike in failures[: WIDEST.failures]]
    first = [alike.first for _, alike in told]
    led = [branch for branch in fold(branches, failed=True) if branch in first or not branch.failed or branch.children]
    rows = [branch.execution for branch in led if branch.execution is not None]
    steps = [_step_object(history, row) for row in rows[: WIDEST.steps]]

    def parts(limits: Limits) -> dict[str, Any]:
        projection = result["result"]
        short = told[: limits.failures]
        return {
            **shortened(head, limits),
            "result": projection if len(msgspec.json.encode(projection)) <= limits.message else None,
            "result_repr": shortened(result["result_repr"], limits),
            "steps": [shortened_step(step, limits) for step in steps[: limits.steps]],
            "failures": [dossier_object(dossier, limits, alike.others, of=len(short)) for dossier, alike in short],
        }

    everything = parts(EVERYTHING)

    def build(limits: Limits) -> dict[str, Any]:
        document = parts(limits)
        omitted = {
            "failures": sum(len(alike.ids) for alike in failures[limits.failures :]),
            "same_error": sum(max(len(alike.others) - limits.alike, 0) for _, alike in told[: limits.failures]),
            "steps": max(len(rows) - limits.steps, 0),
        }
        cut = document != everything or any(omitted.values())
        return {"version": VERSION, "cut": cut, **document, "omitted": omitted}

    return fitting(build)


def _step_object(history: History, *attempts: ExecutionRow) -> dict[str, object]:
    """A step with some of its attempts, as it is in the document of a run."""
    run, number = attempts[0].run, attempts[0].step
    outcomes = {row.id: history.outcome(row.id) for row in attempts}
    problems = {id_: outcome for id_, outcome in outcomes.items() if outcome is not None}
    [step] = step_objects(history.steps(run, number - 1, limit=1), attempts, history.groups(run), (), problems)
    return step


# -- a step -----------------------------------------------------------------------------------------------------------


def _dossier_of_step(history: History, found: RunId) -> Dossier:
    """About the attempt that was named, or the newest that the run's own workspace sees."""
    assert found.step is not None
    attempt = found.attempt or history.newest_attempt(found.run, found.step)
    row = history.execution(format_execution_id(found.run, found.step, attempt)) if attempt else None
    row = row or history.attempts(found.run, found.step, limit=1)[0]
    return dossier_of(history, row)


def _result(history: History, dossier: Dossier) -> Outcome | None:
    """What the execution ended with: its own outcome, or that of the end of its chain."""
    if dossier.outcome is not None:
        return dossier.outcome
    end = history.chain_end(dossier.execution.id)
    return None if end is None else history.outcome(end.id)


def _step_document(inspected: _Inspected, about: Dossier) -> dict[str, Any]:
    history, row, _ = inspected
    step, execution = about.step, about.execution
    why = history.why(step.run, step.number)
    outcome = _result(history, about)
    summary = outcome.value.summary if isinstance(outcome, Succeeded) else None
    return {
        "version": VERSION,
        "run": run_object(row, interrupted=inspected.interrupted),
        **result_fields(outcome),
        "result_summary": summary,
        "steps": [_step_object(history, *about.attempts)],
        "execution": execution.id,
        "arguments": [argument_object(argument) for argument in about.arguments],
        "why": None if why is None else why_object(why),
        "metrics": [
            {"key": metric.key, "at": metric.last.at, "value": _json_number(metric.last.value)}
            for metric in history.metrics(execution.run, execution.step, execution.attempt)
            if metric.last is not None
        ],
        "assets": [
            {"id": asset.asset, "name": asset.name, "files": asset.files, "size": asset.size}
            for asset in history.assets(execution.run, execution.step, execution.attempt)
        ],
        "failures": [dossier_object(about)] if execution.status in PROBLEMS else [],
    }


def _json_number(number: float) -> float | str:
    """JSON has no word for what is not finite."""
    return number if math.isfinite(number) else str(number)


def _print_step(streams: Streams, project: Project, inspected: _Inspected, about: Dossier) -> None:
    terminal = streams.out_terminal
    painter = Painter(terminal.color)
    dossiers = Dossiers(painter, terminal.unicode, _width(), project.root)
    for line in _step_lines(inspected.history, about, dossiers, painter):
        streams.out.line(line)


def _step_lines(history: History, about: Dossier, dossiers: Dossiers, painter: Painter) -> Iterator[str]:
    step, execution = about.step, about.execution
    state = painter.state(execution.status)
    yield f"step {step.id} {visible(f'{step.module}/{step.name}')} {state}"
    if step.parent is not None:
        yield painter.paint(f"submitted by {step.parent}{_group_of(history, about)}", "dim")
    sections = (
        ("arguments", dossiers.arguments(about.arguments, summaries=True)),
        ("attempts", dossiers.attempts(about.attempts)),
        ("result", _result_lines(_result(history, about), dossiers)),
        ("error", dossiers.error(about) if execution.status in PROBLEMS else iter(())),
        ("why", _why_lines(history, about, painter)),
        ("metrics", _metric_lines(history, execution)),
        ("assets", _asset_lines(history, execution)),
    )
    for title, lines in sections:
        for number, line in enumerate(lines):
            if number == 0:
                yield painter.paint(title, "bold")
            yield f"  {line}"
    yield from dossiers.logs(about)


def _group_of(history: History, about: Dossier) -> str:
    step = about.step
    if step.group is None or step.parent is None:
        return ""
    place = (*parse_execution_id(step.parent)[1:], step.group)
    names = [group.name for group in history.groups(step.run) if (group.step, group.attempt, group.number) == place]
    return f" in the group {visible(names[0])!r}" if names and names[0] else " in a group"


def _result_lines(outcome: Outcome | None, dossiers: Dossiers) -> Iterator[str]:
    if isinstance(outcome, Succeeded):
        text = outcome.value.summary or preview_of(outcome.value)
        yield from dossiers.block(text, RESULT_LINES)


def _why_lines(history: History, about: Dossier, painter: Painter) -> Iterator[str]:
    """Without the first line, which names the step."""
    why = history.why(about.step.run, about.step.number)
    if why is not None:
        yield from islice(why_lines(why, time.time(), painter), 1, None)


def _metric_lines(history: History, execution: ExecutionRow) -> Iterator[str]:
    metrics = history.metrics(execution.run, execution.step, execution.attempt)
    last = [(metric.key, metric.last) for metric in metrics if metric.last is not None]
    width = max((len(key) for key, _ in last), default=0)
    for key, point in last:
        yield f"{visible(key):<{width}}  {point.value:g} at {point.at:g}"


def _asset_lines(history: History, execution: ExecutionRow) -> Iterator[str]:
    for asset in history.assets(execution.run, execution.step, execution.attempt):
        files = f"{asset.files} file{'s' * (asset.files != 1)}"
        yield f"{visible(asset.name or asset.asset)}  {files}, {size(asset.size)}"
