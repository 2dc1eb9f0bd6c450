"""What dashboards want to see of a running engine that is not in the store: processes, slots, sizes, generations."""

from __future__ import annotations

import os
from collections import Counter
from heapq import nsmallest
from typing import TYPE_CHECKING

from msgspec.structs import replace

from coflux.executor.core.state import Execution, Worker, WorkerState
from coflux.executor.database import LOGS_FILE, MAIN_FILE
from coflux.executor.hosts import ModuleHost
from coflux.executor.messages import ModuleError
from coflux.executor.requests import ExecutionSample, Generation, GroupSample, Sampled
from coflux.executor.sampling import ProcessTrees, sample

if TYPE_CHECKING:
    from coflux.executor.supervisor import Supervisor

__all__ = ["Vitals", "worker_state"]

MOST_EXECUTIONS = 500  # that are told one by one: more fit on no screen
MOST_GENERATIONS = 50
TRACEBACK_LIMIT = 4096  # characters of a module's error
BLOB_DIRECTORIES = 256  # named by two hex digits


class Vitals:
    """Looks at one engine. Costs nothing unless it is asked: about a millisecond then, for twenty processes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._blobs = _BlobSizes(os.path.join(supervisor.project.data_dir, "blobs"))

    def sample(self) -> Sampled:
        scheduler = self._supervisor.scheduler
        busy = [
            (worker, worker.execution)
            for worker in scheduler.workers.values()
            if worker.state is WorkerState.BUSY and worker.execution is not None
        ]
        waiting = sum(1 for _, execution in busy if execution.waits)
        unfinished = sum(family.unfinished for family in scheduler.families.values())
        longest = nsmallest(MOST_EXECUTIONS, busy, key=lambda pair: pair[1].started_at or 0.0)
        trees = ProcessTrees()
        engine = sample(os.getpid(), trees)
        assert engine is not None  # this process
        data_dir = self._supervisor.project.data_dir
        hosts = list(self._supervisor.generations.hosts.values())[-MOST_GENERATIONS:]
        return Sampled(
            at=self._supervisor.wall(),
            executions=tuple([self._execution(*pair, trees) for pair in longest]),
            workers=Counter(worker_state(worker) for worker in scheduler.workers.values()),
            groups=tuple(
                [GroupSample(pool.group.name, pool.group.concurrency, pool.active) for pool in scheduler.slots.pools]
            ),
            queued=unfinished - len(busy),
            running=len(busy) - waiting,
            waiting=waiting,
            cpu_seconds=engine.cpu_seconds,
            memory=engine.peak_memory,
            load=os.getloadavg()[0],
            main_size=_database_size(os.path.join(data_dir, MAIN_FILE)),
            logs_size=_database_size(os.path.join(data_dir, LOGS_FILE)),
            blobs_size=self._blobs.estimate(),
            generations=tuple([_generation(host) for host in hosts]),
        )

    def _execution(self, worker: Worker, execution: Execution, trees: ProcessTrees) -> ExecutionSample:
        process = self._supervisor.workers.get(worker.id)
        now = sample(worker.pid, trees)
        return ExecutionSample(
            execution.id,
            worker.id,
            worker.pid,
            "waiting" if execution.waits else "running",
            "" if execution.pool is None else execution.pool.group.name,
            0.0 if process is None else process.sampled.cpu_seconds,
            0 if now is None else now.peak_memory,
            0 if process is None else process.sampled.peak_memory,
        )


def worker_state(worker: Worker) -> str:
    """Its state in a word, "waiting" when what it runs waits for other executions."""
    waits = worker.state is WorkerState.BUSY and worker.execution is not None and worker.execution.waits
    return "waiting" if waits else worker.state.value


def _generation(host: ModuleHost) -> Generation:
    errors = (host.failure,) if host.failure is not None else host.failed_modules
    return Generation(host.id, host.modules, host.state.value, host.superseded, tuple(map(_shown, errors)))


def _shown(error: ModuleError) -> ModuleError:
    return replace(error, traceback=error.traceback[-TRACEBACK_LIMIT:], exception=None)


def _database_size(path: str) -> int:
    """With its write-ahead log."""
    return _file_size(path) + _file_size(f"{path}-wal")


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


class _BlobSizes:
    """How much the blobs take, without looking at all of them: they spread evenly over their directories, by hash.

    One directory is looked at each time, in turn, so that the estimate becomes exact where nothing changes.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._sizes: dict[int, int] = {}
        self._next = 0

    def estimate(self) -> int:
        number = self._next
        self._next = (number + 1) % BLOB_DIRECTORIES
        self._sizes[number] = _directory_size(os.path.join(self._directory, f"{number:02x}"))
        return sum(self._sizes.values()) * BLOB_DIRECTORIES // len(self._sizes)


def _directory_size(path: str) -> int:
    try:
        with os.scandir(path) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return 0  # there is none yet, or a blob was deleted meanwhile: the next look tells
