"""Much output at once: tasks whose threads, child processes and C code write long lines, all at the same time.

    python benchmarks/output.py [--tasks 8] [--lines 10000] [--size 4000]

Prints how long it took and the most memory that the engine held. Ends with status 1 unless every line is whole, at the
right step and in the order in which its writer wrote it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil

from coflux.executor.client import Client, NoEngine
from coflux.executor.history import History
from coflux.project import find_project

FLOW = """
import ctypes, subprocess, sys, threading
import coflux as cf

CHILD = '''
import os, sys
task, lines, size = map(int, sys.argv[1:])
for number in range(lines):
    os.write(1, f"{task} child {number} ".ljust(size, "x").encode() + b"\\\\n")
'''
SHELL = 'i=0; while [ $i -lt $2 ]; do printf "%s%s\\\\n" "$1 shell $i " "$3"; i=$((i + 1)); done'

def by_python(task, name, lines, size):
    for number in range(lines):
        print(f"{task} {name} {number} ".ljust(size, "x"))

def by_c(task, lines, size):
    printf = ctypes.CDLL(None).printf
    for number in range(lines):
        printf(b"%s\\n", f"{task} c {number} ".ljust(size, "x").encode())

@cf.task()
def write(task, lines, size):
    "`lines` lines, a fifth by each of five writers."
    share = lines // 5
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(task), str(share), str(size)]),
        subprocess.Popen(["sh", "-c", SHELL, "sh", str(task), str(share), "x" * (size - 20)]),
    ]
    threads = [threading.Thread(target=by_python, args=(task, name, share, size)) for name in ("one", "two")]
    threads.append(threading.Thread(target=by_c, args=(task, share, size)))
    for thread in threads:
        thread.start()
    for writer in (*threads, *children):
        writer.join() if isinstance(writer, threading.Thread) else writer.wait()

@cf.workflow()
def main(tasks: int, lines: int, size: int):
    for handle in [write.submit(task, lines, size) for task in range(tasks)]:
        handle.result()
"""
WRITERS = ("one", "two", "c", "child", "shell")


def problems(history: History, run: str, tasks: int, lines: int) -> list[str]:
    """What is wrong with the lines that are recorded."""
    found: list[str] = []
    expected: Counter[tuple[int, str]] = Counter()  # the number of each writer's next line
    steps: dict[str, int] = {}
    after = 0
    while entries := history.logs(run, after=after):
        after = entries[-1].id
        for entry in entries:
            task, name, number, rest = (entry.template or "").split(" ", 3)
            key = entry.step, name
            if int(number) != expected[key] or rest.strip("x") or steps.setdefault(task, entry.step) != entry.step:
                found.append(
                    f"step {entry.step}: {(entry.template or '')[:40]!r}, after line {expected[key]} of {name}"
                )
            expected[key] += 1
    if list(expected.values()) != [lines // len(WRITERS)] * tasks * len(WRITERS):
        found.append(f"lines of each writer: {dict(expected)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--lines", type=int, default=10_000, help="of each task")
    parser.add_argument("--size", type=int, default=4000, help="of each line, in bytes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "flow.py").write_text(FLOW)
        project = find_project(directory)
        environment = os.environ | {"COFLUX_CONCURRENCY": str(arguments.tasks + 1)}
        command = [sys.executable, "-m", "coflux", "run", "--json", "flow/main"]
        numbers = [str(number) for number in (arguments.tasks, arguments.lines, arguments.size)]
        start = time.perf_counter()
        process = subprocess.Popen(
            command + numbers, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        peak = 0
        engine: psutil.Process | None = None
        while process.poll() is None:
            try:
                engine = engine or psutil.Process(_engine_pid(directory))
                peak = max(peak, engine.memory_info().rss)
            except (psutil.Error, NoEngine):
                pass  # not started yet, or leaving
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        with closing(History.open(project.data_dir)) as history:
            found = problems(history, history.runs(limit=1)[0].id, arguments.tasks, arguments.lines)
    written = arguments.tasks * arguments.lines * arguments.size
    print(f"{written / 1e6:,.0f} MB in {seconds:.1f} s, engine's peak {peak / 1e6:,.0f} MB, {len(found)} problems")
    for problem in found[:10]:
        print(problem)
    return 1 if found or process.returncode else 0


def _engine_pid(directory: str) -> int:
    with Client.connect(find_project(directory), "command", start=False) as client:
        return client.supervisor_pid


if __name__ == "__main__":
    sys.exit(main())
