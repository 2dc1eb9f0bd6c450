"""`coflux runs`: list, inspect, result, rerun, resume, cancel, delete. Reading needs no engine."""

from __future__ import annotations

import time
from typing import cast, get_args

import click
import msgspec

from coflux.cli import exits, foreground, inspection
from coflux.cli.engine import NothingStored, check_workspace, connect, open_history, requested, resolve_id
from coflux.cli.following import following_options, form_of
from coflux.cli.interrupted import INTERRUPTED, advice, known_until, state_of
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION, result_fields, run_object
from coflux.cli.options import complete_runs, complete_workspaces, json_option, project_option
from coflux.cli.result import newest_attempt, outcome_of, print_result
from coflux.cli.streams import Streams, open_streams
from coflux.cli.view import usage_text
from coflux.display.marks import MARKS
from coflux.display.reasons import problem_of
from coflux.display.text import duration, visible
from coflux.executor.document import usage_object
from coflux.executor.launch import engine_runs
from coflux.executor.messages import Usage
from coflux.executor.requests import CancelRun, DeleteRun, Done
from coflux.executor.rows import DEFAULT_WORKSPACE, RunRow, Status, format_execution_id
from coflux.project import Project

__all__ = ["command"]


@click.group()
def command() -> None:
    """List, inspect, repeat, cancel and delete runs."""


command.add_command(inspection.command, "inspect")


# -- list -------------------------------------------------------------------------------------------------------------


@command.command("list")
@click.option("--limit", metavar="NUMBER", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--status", type=click.Choice(get_args(Status)), metavar="STATE", help="Only runs in this state.")
@click.option("--before", metavar="RUN", help="Only runs older than this one.")
@click.option("--children", is_flag=True, help="Also runs that other runs called.")
@click.option("--workspace", metavar="NAME", shell_complete=complete_workspaces, help="Only runs of this workspace.")
@json_option
@project_option
def list_runs(
    project: Project,
    limit: int,
    status: str | None,
    before: str | None,
    children: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    """List runs, the newest first."""
    streams = open_streams()
    rows: list[RunRow] = []
    ends: list[float] = []
    used: dict[str, Usage] = {}
    engine = engine_runs(project)
    try:
        with open_history(project) as history:
            check_workspace(history, workspace)
            older_than = history.resolve_run(before) if before else None
            rows = history.runs(limit, older_than, cast("Status | None", status), children, workspace)
            now = time.time()
            ends = [row.finished_at or known_until(history, row, engine, now) for row in rows]
            used = history.usage([row.id for row in rows])
    except NothingStored as error:
        if before:
            raise
        if not as_json:
            streams.err.line(str(error))
    if as_json:
        listed = [
            {**run_object(row), INTERRUPTED: not (engine or row.settled), **usage_object(used.get(row.id))}
            for row in rows
        ]
        streams.out.json(msgspec.json.encode({"version": VERSION, "runs": listed}))
    else:
        _print_table(streams, rows, ends, used, engine)
    streams.finish()


def _print_table(streams: Streams, rows: list[RunRow], ends: list[float], used: dict[str, Usage], engine: bool) -> None:
    painter = Painter(streams.out_terminal.color)
    states = [state_of(row, engine).replace("_", " ") for row in rows]
    width = max([9, *map(len, states)])
    usages = [usage_text(used[row.id]) if row.id in used else "" for row in rows]
    usage_width = max(map(len, usages), default=0)
    for row, state, end, usage in zip(rows, states, ends, usages, strict=True):
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.created_at))
        took = "" if row.started_at is None else duration(end - row.started_at)
        # Padded before it is painted: escape sequences have no width.
        padded = painter.paint(f"{state:<{width}}", MARKS[row.status].style)
        place = "" if row.workspace == DEFAULT_WORKSPACE else f"  in {row.workspace}"
        columns = [f"{row.id:<6} {padded}", started, f"{took:>7}", f"{usage:>{usage_width}}" if usage_width else ""]
        name = visible(f"{row.module}/{row.name}")
        streams.out.line("  ".join([*filter(None, columns), f"{name}{place}"]))
    unfinished = [row.id for row in rows if not row.settled]
    if unfinished and not engine:
        streams.err.line(advice(unfinished))


# -- result -----------------------------------------------------------------------------------------------------------


@command.command("result", short_help="Print the result of a run, step or attempt.")
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@click.option("--raw", is_flag=True, help="Print a text result as it is, not as JSON.")
@click.option(
    "--workspace",
    metavar="NAME",
    shell_complete=complete_workspaces,
    help="As NAME and what it is based on have it.  [default: the run's own]",
)
@json_option
@project_option
def show_result(project: Project, identifier: str, raw: bool, workspace: str | None, as_json: bool) -> int:
    """Print the result of a run, of a step's latest attempt, or of one attempt."""
    streams = open_streams()
    engine = engine_runs(project)
    with open_history(project) as history:
        if workspace is not None:
            check_workspace(history, workspace)
        end, outcome = outcome_of(history, resolve_id(history, identifier), workspace)
    interrupted = outcome is None and not engine
    if as_json:
        state = {"execution": end.id, "status": end.status, INTERRUPTED: interrupted}
        fields = {"version": VERSION, **state, **result_fields(outcome)}
        streams.out.json(msgspec.json.encode(fields))
    elif end.status == "succeeded":
        print_result(streams.out, outcome, raw=raw, summary=streams.out_terminal.live)
    elif interrupted:
        raise exits.CommandError(f"{identifier} has no result: {advice([end.run])}", exits.FAILED)
    elif outcome is None:
        raise exits.CommandError(f"{identifier} has no result yet: it is {end.reason or end.status}", exits.FAILED)
    else:
        streams.err.line(f"{end.id} {end.status.replace('_', ' ')}: {visible(problem_of(outcome))}")
    streams.finish()
    return exits.exit_status(end.status)


# -- rerun and resume -------------------------------------------------------------------------------------------------

_own_workspace = click.option(
    "--workspace",
    metavar="NAME",
    shell_complete=complete_workspaces,
    help="Where to: in its own workspace, or one based on that.  [default: its own]",
)


@command.command("rerun", short_help="Execute a step again, with its arguments and the code as it is now.")
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@following_options
@_own_workspace
@project_option
def rerun_step(project: Project, identifier: str, workspace: str | None, **form_options: bool) -> int:
    """Execute a step again, or the run's root, with the arguments that it had and the code as it is now.

    What submitted it is not executed again. An attempt that is unfinished is cancelled.
    """
    form = form_of(**form_options)
    with open_history(project) as history:
        found = resolve_id(history, identifier)
    return foreground.rerun(project, foreground.Again(found.run, found.step or 1, workspace or ""), form)


@command.command("resume", short_help="Execute what did not succeed in a run, and keep what did.")
@click.argument("run", metavar="RUN", shell_complete=complete_runs)
@following_options
@_own_workspace
@project_option
def resume_run(project: Project, run: str, workspace: str | None, **form_options: bool) -> int:
    """Execute a run again, with the code as it is now, and keep what had succeeded below its root.

    Whatever is submitted with equal arguments as before is answered with the result from then, one by one.
    """
    form = form_of(**form_options)
    with open_history(project) as history:
        run_id = history.resolve_run(run)
    return foreground.rerun(project, foreground.Again(run_id, 1, workspace or "", resume=True), form)


# -- cancel and delete ------------------------------------------------------------------------------------------------


@command.command("cancel")
@click.argument("identifiers", metavar="RUN[:STEP[:ATTEMPT]]...", nargs=-1, required=True, shell_complete=complete_runs)
@project_option
def cancel_runs(project: Project, identifiers: tuple[str, ...]) -> None:
    """Cancel runs or single executions, with everything below them."""
    unfinished = []
    with open_history(project) as history:
        for identifier in identifiers:
            found = resolve_id(history, identifier)
            row = history.run(found.run)
            assert row is not None
            target = row.id
            if found.step is not None:
                attempt = found.attempt or newest_attempt(history, row.id, found.step)
                target = format_execution_id(row.id, found.step, attempt)
            if row.settled:
                click.echo(f"{target} has ended already: run {row.id} {row.status.replace('_', ' ')}")
            else:
                unfinished.append(target)
    if unfinished:
        with connect(project, "command") as client:
            for target in unfinished:
                click.echo(visible(requested(client, CancelRun(client.next_request(), target), Done).message))


@command.command("delete")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs)
@project_option
def delete_runs(project: Project, runs: tuple[str, ...]) -> None:
    """Delete runs that have ended, with their child runs."""
    with open_history(project) as history:
        run_ids = [history.resolve_run(run) for run in runs]
    with connect(project, "command") as client:
        for run_id in run_ids:
            click.echo(visible(requested(client, DeleteRun(client.next_request(), run_id), Done).message))
