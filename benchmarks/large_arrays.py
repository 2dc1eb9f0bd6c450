"""A big array from one process to another: the engine against loky, Dask and Ray, in one run on one machine.

    python benchmarks/large_arrays.py [--repeat 5] [--size MIB] [--only loky,dask,ray] [--json]

One process makes the array, another looks at every page of it. What is timed is from where the array is there to where
it was looked at, between processes that have run something before: making it takes all of them the same. Every figure
is the median of the repetitions, all contestants in turn, after a round that does not count; a ratio is of two medians,
above 1 where the engine is quicker. Before each, some memory is taken and given back: a virtual machine hands free
memory to its host after a moment, and who gets it again first pays for that. The engine stores the array, so that it is
there after a crash and for the cache; loky passes it through the calling process, Dask from worker to worker, Ray
through shared memory. What is not installed
is skipped.

The reader of the engine also says by how much its private memory has grown, which is what it has copied.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WORKFLOWS = '''
import time
import coflux as cf
import numpy as np

PAGE = 512  # items


@cf.task()
def make(items):
    array = np.arange(items, dtype="f8")
    return time.monotonic(), array


def private_memory():
    """Bytes that are of no file: a page of one that is only read, or is mapped but not changed, is not among them."""
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))


@cf.task()
def read(made):
    before = private_memory()
    made_at, array = made.result()
    array[::PAGE].sum()
    return time.monotonic() - made_at, private_memory() - before


@cf.workflow()
def main(items: int):
    read(make.submit(8))
    return read(make.submit(items))
'''

PAGE = 512  # items of an array
WARM = 8  # times an array's size: more than any of the contestants needs


def make(items: int):  # type: ignore[no-untyped-def]
    import numpy as np

    array = np.arange(items, dtype="f8")
    return time.monotonic(), array


def read(made) -> float:  # type: ignore[no-untyped-def]
    made_at, array = made
    array[::PAGE].sum()
    return time.monotonic() - made_at


def _engine(items: int) -> tuple[float, float]:
    """Seconds, and bytes that the reader copied. Every repetition has a store of its own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "flows.py").write_text(WORKFLOWS)
        command = [sys.executable, "-m", "coflux", "run", "--no-ui", "flows/main", str(items)]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=True)
        seconds, copied = json.loads(done.stdout)
        return seconds, copied


def _import_numpy() -> None:
    importlib.import_module("numpy")


def _loky(items: int) -> float:
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(2, initializer=_import_numpy) as pool:
        pool.submit(read, pool.submit(make, 8).result()).result()
        seconds: float = pool.submit(read, pool.submit(make, items).result()).result()
        return seconds


def _dask(items: int) -> float:
    from distributed import Client, LocalCluster

    settings = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.ERROR}
    with LocalCluster(n_workers=2, **settings) as cluster, Client(cluster) as client:
        maker, reader = client.scheduler_info()["workers"]
        for count in (8, items):
            made = client.submit(make, count, workers=[maker])
            seconds: float = client.submit(read, made, workers=[reader]).result()
        return seconds


def _ray(items: int) -> float:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        remote_make, remote_read = ray.remote(make), ray.remote(read)
        # Two at a time, so that both processes have run something.
        ray.get([remote_read.remote(remote_make.remote(8)) for _ in range(2)])
        seconds: float = ray.get(remote_read.remote(remote_make.remote(items)))
        return seconds
    finally:
        ray.shutdown()


PEERS: dict[str, tuple[str, Callable[[int], float]]] = {
    "loky": ("loky", _loky),
    "dask": ("distributed", _dask),
    "ray": ("ray", _ray),
}


def _warm_memory(size: int) -> None:
    """Have the machine hold free memory of a multiple of `size` bytes."""
    subprocess.run([sys.executable, "-c", f"b'x' * {WARM * size}"], check=True)


def measure(peers: list[str], items: int, repeat: int) -> dict[str, float]:
    ours: list[float] = []
    copied: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(1 + repeat):
        _warm_memory(items * 8)
        seconds, size = _engine(items)
        ours.append(seconds)
        copied.append(size / (1 << 20))
        for name, sample in theirs.items():
            _warm_memory(items * 8)
            sample.append(PEERS[name][1](items))
    for sample in (ours, *theirs.values()):
        del sample[0]
    median = statistics.median(ours)
    figures = {"engine, s": median, "private memory of its reader grew by, MiB": max(copied)}
    for name, sample in theirs.items():
        figures[f"{name}, s"] = statistics.median(sample)
        figures[f"times faster than {name}"] = statistics.median(sample) / median
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, metavar="MIB")
    parser.add_argument("--only", default=",".join(PEERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peers = []
    for name in options.only.split(","):
        if importlib.util.find_spec(PEERS[name][0]) is None:
            print(f"{name} is not installed: skipped", file=sys.stderr)
        else:
            peers.append(name)
    figures = measure(peers, (options.size << 20) // 8, options.repeat)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"an array of {options.size} MiB, {len(os.sched_getaffinity(0))} CPUs")
    for label, figure in figures.items():
        print(f"    {label:44} {figure:12,.3f}")


if __name__ == "__main__":
    main()
