"""Ctrl-C at many random moments: every time exit status 130 within 3 s, nothing left, and the run cancelled.

    python benchmarks/interrupts.py [--times 100] [--seed 1]

Prints how long the command took to leave, and ends with status 1 at the first interruption that went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

LIMIT = 3.0  # seconds
COMMAND = (sys.executable, "-m", "coflux")
FLOW = """
import time
import coflux as cf

@cf.task()
def work(x):
    time.sleep(0.02)
    return x

@cf.workflow()
def main():
    while True:
        sum(handle.result() for handle in [work.submit(x) for x in range(4)])
"""


def left_over(root: Path) -> list[psutil.Process]:
    """Live processes of the project, by the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("COFLUX_BENCHMARK") == str(root)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return found


def interrupt(root: Path, environment: dict[str, str], pause: float) -> float:
    """Start a run, interrupt it after `pause` seconds. Returns how long it took to leave; raises `AssertionError`."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--no-ui", "flow/main"],
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    run = process.stderr.readline().split()[1]
    time.sleep(pause)
    sent_at = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    took = time.monotonic() - sent_at
    assert process.returncode == 130, f"exit status {process.returncode}"
    assert took < LIMIT, f"it took {took:.2f} s"
    deadline = time.monotonic() + LIMIT
    while left_over(root):
        assert time.monotonic() < deadline, f"left over: {left_over(root)}"
        time.sleep(0.01)
    inspect = [*COMMAND, "runs", "inspect", run, "--json"]
    shown = subprocess.run(inspect, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    status = json.loads(shown.stdout)["run"]["status"]
    assert status == "cancelled", f"run {run} is {status}"
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    took: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "flow.py").write_text(FLOW)
        environment = {**os.environ, "COFLUX_BENCHMARK": directory}
        for number in range(options.times):
            pause = chance.uniform(0.0, 0.5)
            try:
                took.append(interrupt(root, environment, pause))
            except AssertionError as error:
                print(f"interruption {number} (seed {options.seed}, after {pause:.3f} s): {error}", file=sys.stderr)
                return 1
    print(f"{len(took)} interruptions: median {statistics.median(took):.3f} s, worst {max(took):.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
