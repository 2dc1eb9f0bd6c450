"""`coflux doctor`: what coflux finds on this machine and in this project, and what to do about what is wrong."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from typing import NamedTuple

import click
import msgspec

from coflux import __version__
from coflux.cli import exits
from coflux.cli.discover import describe_error, sources_of
from coflux.cli.engine import connect, requested
from coflux.cli.interrupted import advice
from coflux.cli.ndjson import VERSION
from coflux.cli.options import json_option, project_option
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import Sources
from coflux.cli.terminal import Output
from coflux.display.text import visible
from coflux.executor.client import Client, NoEngine
from coflux.executor.database import NoStore, StoreError
from coflux.executor.history import History
from coflux.executor.launch import engine_runs
from coflux.executor.requests import Discover, Discovered, Status, StatusReport
from coflux.project import Project, usable_cpus
from coflux.worker_groups import WorkerGroup

__all__ = ["command"]

DEPENDENCIES = ("blake3", "click", "dill", "msgspec", "psutil", "rich", "textual", "watchfiles", "wcmatch")
SHARED_REMEDY = 'all workers share it: make it inside the task that uses it, or configure start_method = "spawn"'
LOW_SPACE = 64  # MiB
FEW_DESCRIPTORS = 256  # a worker takes about a dozen in the engine


class Finding(NamedTuple):
    """`problem` says what is wrong and what to do about it; `warning` the same of what works, but not as it might."""

    subject: str
    value: str
    problem: str = ""
    warning: str = ""


@click.command()
@json_option
@project_option
def command(project: Project, as_json: bool) -> int:
    """Check that coflux can work here, and say what to do where it cannot."""
    streams = open_streams()
    findings = []
    for finding in _findings(project, streams):
        findings.append(finding)
        if not as_json:
            _print(streams.out, finding)
    problems = sum(1 for finding in findings if finding.problem)
    if as_json:
        fields = [finding._asdict() for finding in findings]
        streams.out.json(msgspec.json.encode({"version": VERSION, "findings": fields}))
    else:
        warnings = sum(1 for finding in findings if finding.warning)
        streams.out.line(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}")
    streams.finish()
    return exits.FAILED if problems else exits.SUCCEEDED


def _print(out: Output, finding: Finding) -> None:
    out.line(f"{finding.subject + ':':<14} {visible(finding.value)}")
    for kind, text in (("problem", finding.problem), ("warning", finding.warning)):
        for number, line in enumerate(text.splitlines()):
            out.line(f"{'':<14} {kind + ':' if number == 0 else '':<8} {visible(line)}")


def _findings(project: Project, streams: Streams) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("platform", platform.platform())
    yield from _packages()
    yield Finding("project", project.root)
    yield Finding("configuration", project.config_file or "none (defaults)")
    yield _space(project)
    essential = (_data_directory(project), _engine(project))
    yield from essential
    yield from _runs(project)
    yield _start_method(project)
    yield _concurrency(project)
    yield _terminal(streams)
    yield _descriptors()
    if any(finding.problem for finding in essential):
        yield Finding("modules", "not checked, since no engine can import them here")
    else:
        yield from _groups(project)
        yield from _modules(project, streams)


def _packages() -> Iterator[Finding]:
    yield Finding("coflux", __version__)
    for name in DEPENDENCIES:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "missing", f"install it: {sys.executable} -m pip install {name}")


def _data_directory(project: Project) -> Finding:
    place = project.data_dir
    existing = _existing(place)
    if not os.path.isdir(existing):
        return Finding("data", place, f"{existing} is not a directory: move it, or choose another place: --data-dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data", place, f"{existing} is not writable: change that, or choose another place: --data-dir")
    try:
        History.open(place).close()
    except NoStore:
        return Finding("data", f"{place} (no runs yet)")
    except StoreError as error:
        return Finding("data", place, str(error))
    return Finding("data", place)


def _existing(place: str) -> str:
    """The directory itself, or the nearest one above that exists."""
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return place


def _space(project: Project) -> Finding:
    volume = os.statvfs(_existing(project.data_dir))
    free = (volume.f_bavail * volume.f_frsize) >> 20
    problem = "" if free >= LOW_SPACE else "that is little for runs: make room, or choose another place: --data-dir"
    return Finding("space", f"{free:,} MiB free for data", problem)


def _engine(project: Project) -> Finding:
    try:
        with connect(project, "command", start=False) as client:
            report = requested(client, Status(client.next_request()), StatusReport)
    except NoEngine:
        return Finding("engine", "not running; the next command that needs it starts it")
    except exits.CommandError as error:
        return Finding("engine", "does not answer", str(error))
    keeps = f", kept by {report.keeps}" if report.keeps else ""
    work = f"{report.running} running, {report.queued} queued, {report.waiting} waiting"
    return Finding("engine", f"pid {report.pid}: {len(report.workers)} workers, {work}{keeps}")


def _runs(project: Project) -> Iterator[Finding]:
    """Those that no engine works on. The check of the modules starts one, as every command does that needs it."""
    if engine_runs(project):
        return
    try:
        with closing(History.open(project.data_dir)) as history:
            unfinished = history.unfinished_runs()
    except StoreError:
        return  # there is none, or it has been told what is wrong with it
    if unfinished:
        value = f"{len(unfinished)} unfinished, without an engine"
        text = advice([row.id for row in unfinished])
        interrupted = any(row.status != "queued" for row in unfinished)
        yield Finding("runs", value, text if interrupted else "", "" if interrupted else text)


def _start_method(project: Project) -> Finding:
    method = project.settings.start_method
    problem = ""
    if method == "fork" and sys.platform != "linux":
        problem = f'forking is not safe on {platform.system()}: configure start_method = "spawn"'
    return Finding("start method", method, problem)


def _concurrency(project: Project) -> Finding:
    return Finding("concurrency", f"{project.settings.concurrency} (usable CPUs: {usable_cpus()})")


def _terminal(streams: Streams) -> Finding:
    terminal = streams.err_terminal
    kind = f"{os.environ.get('TERM', 'no TERM')}, {terminal.width}x{terminal.height}" if terminal.live else "none"
    marks = "Unicode" if terminal.unicode else "ASCII"
    return Finding(
        "terminal", f"{kind}, {streams.err.encoding}, {marks} marks, {'' if terminal.color else 'no '}colours"
    )


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    problem = ""
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        problem = f"{hard} open files are few: raise the hard limit (ulimit -Hn, /etc/security/limits.conf)"
    return Finding("open files", f"{soft}, up to {hard}", problem)


def _groups(project: Project) -> Iterator[Finding]:
    """Worker groups, and whether their interpreters import the modules that they are for."""
    if not project.settings.workers:
        return
    for group in project.settings.groups:
        parts = (
            group.name,
            f"{group.concurrency} at a time",
            f"python {group.python}" if group.python else "",
            f"modules {', '.join(group.modules)}" if group.modules else "",
            group.tags,
        )
        yield Finding("worker group", "; ".join(filter(None, parts)), _problem_of(project, group))


def _problem_of(project: Project, group: WorkerGroup) -> str:
    if not group.python and not group.modules:
        return ""  # it imports what the default one does
    try:
        with connect(project, "command") as client:
            request = Discover(client.next_request(), group.modules, (), try_worker=True, group=group.name)
            found = requested(client, request, Discovered)
    except exits.CommandError as error:
        return str(error)
    return "\n".join(describe_error(error) for error in found.errors)


def _modules(project: Project, streams: Streams) -> Iterator[Finding]:
    """Import them as a run would, and try how workers start."""
    sources = sources_of(project, ())
    count = len(sources.modules) + len(sources.files)
    if not count:
        yield Finding("modules", f"none: no Python file below {project.root} imports coflux")
        return
    if streams.err_terminal.live:
        streams.err.line(f"importing {_counted(count, 'module')} ...")
    try:
        with connect(project, "command") as client:
            parts = _discover(client, sources)
    except exits.CommandError as error:
        yield Finding("modules", _counted(count, "module"), str(error))
        return
    targets = sum(len(found.targets) for found in parts.values())
    yield Finding("modules", f"{_counted(count, 'module')}, {_counted(targets, 'target')}")
    yield from _import_errors(parts)
    yield from _workers(parts)
    yield from _shared(parts)


def _discover(client: Client, sources: Sources) -> dict[str, Discovered]:
    """Ask for all modules at once. If they spoil their process, ask for each by itself, to know which one does."""
    each = {name: Sources((name,), ()) for name in sources.modules}
    each |= {file: Sources((), (file,)) for file in sources.files}
    whole = _ask(client, sources)
    if len(each) == 1 or (whole.start_method is not None and not whole.no_fork):
        return {"": whole}
    return {name: _ask(client, one) for name, one in each.items()}


def _ask(client: Client, sources: Sources) -> Discovered:
    return requested(client, Discover(client.next_request(), *sources, try_worker=True), Discovered)


def _import_errors(parts: dict[str, Discovered]) -> Iterator[Finding]:
    for found in parts.values():
        for error in found.errors:
            yield Finding("module", error.module, describe_error(error))


def _workers(parts: dict[str, Discovered]) -> Iterator[Finding]:
    """How they start: what all modules have in common once, exceptions by name."""
    for method in dict.fromkeys(found.start_method for found in parts.values() if not found.no_fork):
        if method is not None:
            yield Finding("workers", "forked" if method == "fork" else "spawned")
    for name, found in parts.items():
        if found.no_fork:
            yield Finding("workers", f"spawned for {name}" if name else "spawned", warning=found.no_fork)


def _shared(parts: dict[str, Discovered]) -> Iterator[Finding]:
    for shared in dict.fromkeys(shared for found in parts.values() for shared in found.shared):
        place = f" ({shared.file})" if shared.file else ""
        yield Finding("shared", f"{shared.name}: {shared.kind}{place}", warning=SHARED_REMEDY)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
