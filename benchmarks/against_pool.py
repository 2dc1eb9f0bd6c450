"""The engine against `concurrent.futures.ProcessPoolExecutor`, in one run on one machine.

    python benchmarks/against_pool.py [--repeat 5] [--only fan-out,chain,tree,array,cold-start,import] [--json]

Every figure is the median of the repetitions, engine and pool in turn; a ratio is of the two medians. The engine
records every step in SQLite; the pool records nothing. Both have as many processes as there are usable CPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

WORKFLOWS = """
import time
import coflux as cf


@cf.task()
def nothing(i):
    return i


@cf.workflow()
def fan_out(n: int):
    nothing(0)
    start = time.perf_counter()
    handles = [nothing.submit(i) for i in range(n)]
    for handle in handles:
        handle.result()
    return time.perf_counter() - start


@cf.workflow()
def chain(n: int):
    nothing(0)
    start = time.perf_counter()
    value = 0
    for _ in range(n):
        value = nothing(value)
    return time.perf_counter() - start


@cf.task()
def node(depth):
    if depth == 0:
        return 1
    children = [node.submit(depth - 1) for _ in range(2)]
    return 1 + sum(child.result() for child in children)


@cf.workflow()
def tree(depth: int):
    nothing(0)
    start = time.perf_counter()
    node(depth)
    return time.perf_counter() - start


@cf.task()
def make(size):
    import numpy as np
    return np.ones(size // 8)


@cf.task()
def touch(made):
    array = made.result()
    return float(array[0] + array[-1])


@cf.workflow()
def array(size: int):
    touch(make.submit(8))
    start = time.perf_counter()
    touch(make.submit(size))
    return time.perf_counter() - start


@cf.workflow()
def hello():
    return "hello"
"""

POOL_HELLO = """
from concurrent.futures import ProcessPoolExecutor

def hello():
    return "hello"

if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(pool.submit(hello).result())
"""


def nothing(i: int) -> int:
    return i


def make(size: int):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.ones(size // 8)


def touch(array) -> float:  # type: ignore[no-untyped-def]
    return float(array[0] + array[-1])


class Engine:
    """Runs the workflows with the command, each repetition in a project of its own."""

    def __init__(self) -> None:
        self._command = [sys.executable, "-m", "coflux"]

    def seconds(self, target: str, *arguments: str) -> float:
        """What the workflow measured itself."""
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "flows.py").write_text(WORKFLOWS)
            command = [*self._command, "run", "--no-ui", f"flows/{target}", *arguments]
            done = subprocess.run(command, cwd=directory, capture_output=True, check=True)
            return float(json.loads(done.stdout))

    def cold(self) -> tuple[float, float]:
        """Seconds until the command has ended, and until its supervisor has."""
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "flows.py").write_text(WORKFLOWS)
            start = time.perf_counter()
            subprocess.run(
                [os.path.join(os.path.dirname(sys.executable), "coflux"), "run", "--no-ui", "flows/hello"],
                cwd=directory, capture_output=True, check=True,
            )  # fmt: skip
            ended = time.perf_counter() - start
            while _locked(os.path.join(directory, ".coflux", "lock")):
                time.sleep(0.001)
            return ended, time.perf_counter() - start


def _locked(path: str) -> bool:
    import fcntl

    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _pool_fan_out(n: int) -> float:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pool.submit(nothing, 0).result()
        start = time.perf_counter()
        futures = [pool.submit(nothing, i) for i in range(n)]
        for future in futures:
            future.result()
        return time.perf_counter() - start


def _pool_chain(n: int) -> float:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pool.submit(nothing, 0).result()
        start = time.perf_counter()
        value = 0
        for _ in range(n):
            value = pool.submit(nothing, value).result()
        return time.perf_counter() - start


def _pool_array(size: int) -> float:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pool.submit(touch, pool.submit(make, 8).result()).result()
        start = time.perf_counter()
        pool.submit(touch, pool.submit(make, size).result()).result()
        return time.perf_counter() - start


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def _medians(repeat: int, *measures: Callable[[], float]) -> list[float]:
    samples: list[list[float]] = [[] for _ in measures]
    for _ in range(repeat):
        for measure, sample in zip(measures, samples, strict=True):
            sample.append(measure())
    return [statistics.median(sample) for sample in samples]


def fan_out(engine: Engine, repeat: int) -> dict[str, float]:
    n = 20_000
    ours, pool = _medians(repeat, lambda: engine.seconds("fan_out", str(n)), lambda: _pool_fan_out(n))
    return {"engine, tasks/s": n / ours, "pool, tasks/s": n / pool, "ratio of rates": pool / ours}


def chain(engine: Engine, repeat: int) -> dict[str, float]:
    n = 1_000
    ours, pool = _medians(repeat, lambda: engine.seconds("chain", str(n)), lambda: _pool_chain(n))
    return {"engine, ms/call": ours / n * 1e3, "pool, ms/call": pool / n * 1e3, "ratio of latencies": ours / pool}


def tree(engine: Engine, repeat: int) -> dict[str, float]:
    depth = 9
    (ours,) = _medians(repeat, lambda: engine.seconds("tree", str(depth)))
    return {"engine, nested calls/s": (2 ** (depth + 1) - 1) / ours}  # a pool of this size would deadlock


def array(engine: Engine, repeat: int) -> dict[str, float]:
    size = 256 << 20
    ours, pool = _medians(repeat, lambda: engine.seconds("array", str(size)), lambda: _pool_array(size))
    return {"engine, s": ours, "pool, s": pool, "times faster": pool / ours}


def cold_start(engine: Engine, repeat: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "hello.py")
        script.write_text(POOL_HELLO)
        gone: list[float] = []

        def ours() -> float:
            ended, left = engine.cold()
            gone.append(left)
            return ended

        run, pool = _medians(repeat, ours, lambda: _timed([sys.executable, str(script)]))
    return {
        "coflux run, s": run,
        "until the supervisor is gone, s": statistics.median(gone),
        "pool script, s": pool,
        "ratio": run / pool,
    }


def importing(engine: Engine, repeat: int) -> dict[str, float]:
    bare, ours = _medians(
        repeat * 3,
        lambda: _timed([sys.executable, "-c", "pass"]),
        lambda: _timed([sys.executable, "-c", "import coflux as cf; cf.task, cf.workflow, cf.log_info"]),
    )
    return {"import coflux, ms above the bare interpreter": (ours - bare) * 1e3}


CASES: dict[str, Callable[[Engine, int], dict[str, float]]] = {
    "fan-out": fan_out,
    "chain": chain,
    "tree": tree,
    "array": array,
    "cold-start": cold_start,
    "import": importing,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engine = Engine()
    results = {name: CASES[name](engine, options.repeat) for name in options.only.split(",")}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, figures in results.items():
        print(name)
        for label, figure in figures.items():
            print(f"    {label:44} {figure:12,.3f}")


if __name__ == "__main__":
    main()
