"""`coflux doctor`: what coflux finds on this machine and in this project, and what to do about what is wrong."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

import click
import msgspec

from coflux import __version__
from coflux.cli import exits
from coflux.cli.engine import connect, requested
from coflux.cli.ndjson import VERSION
from coflux.cli.options import json_option, project_option
from coflux.cli.streams import Streams, open_streams
from coflux.cli.text import visible
from coflux.executor.client import NoEngine
from coflux.executor.database import NoStore, StoreError
from coflux.executor.history import History
from coflux.executor.messages import Status, StatusReport
from coflux.project import Project, usable_cpus

__all__ = ["command"]

DEPENDENCIES = ("blake3", "click", "dill", "msgspec", "psutil", "rich", "textual", "watchfiles", "wcmatch")
FEW_DESCRIPTORS = 256  # a worker takes about a dozen in the engine


class Finding(NamedTuple):
    """`problem` says what is wrong and what to do about it; "" when all is well."""

    subject: str
    value: str
    problem: str = ""


@click.command()
@json_option
@project_option
def command(project: Project, as_json: bool) -> int:
    """Check that coflux can work here, and say what to do where it cannot."""
    streams = open_streams()
    findings = list(_findings(project, streams))
    if as_json:
        fields = [finding._asdict() for finding in findings]
        streams.out.json(msgspec.json.encode({"version": VERSION, "findings": fields}))
    else:
        for finding in findings:
            streams.out.line(f"{finding.subject + ':':<14} {visible(finding.value)}")
            if finding.problem:
                streams.out.line(f"{'':<14} problem: {visible(finding.problem)}")
    streams.finish()
    return exits.FAILED if any(finding.problem for finding in findings) else exits.SUCCEEDED


def _findings(project: Project, streams: Streams) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("platform", platform.platform())
    yield from _packages()
    yield Finding("project", project.root)
    yield Finding("configuration", project.config_file or "none (defaults)")
    yield _data_directory(project)
    yield _engine(project)
    yield _start_method(project)
    yield _concurrency(project)
    yield _terminal(streams)
    yield _descriptors()


def _packages() -> Iterator[Finding]:
    yield Finding("coflux", __version__)
    for name in DEPENDENCIES:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "missing", f"install it: {sys.executable} -m pip install {name}")


def _data_directory(project: Project) -> Finding:
    place = project.data_dir
    existing = place
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data", place, f"{existing} is not writable: change that, or choose another place: --data-dir")
    try:
        History.open(place).close()
    except NoStore:
        return Finding("data", f"{place} (no runs yet)")
    except StoreError as error:
        return Finding("data", place, str(error))
    return Finding("data", place)


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
