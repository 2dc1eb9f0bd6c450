"""What the dashboard costs and how quickly it answers: on a terminal of its own, as people have it.

    python benchmarks/dashboard.py [--quick] [--only start,open,load,slow-link,logs,throughput] [--json]

The run that is looked at has 20,000 steps in 1,000 groups, some of them nested 20 deep; a pretended engine (see
`pretend_engine.py`) makes 500 changes a second to it, a fifth of them on the screen. Keys are pressed at random
moments, and a key is answered when the cursor is seen on another row. Times are taken when bytes reach the terminal;
what they show is worked out afterwards. CPU is that of the dashboard alone, in percent of one core.

With the variable PROFILE set, a profile of the dashboard's main thread is written to the file of that name.

Throughput is measured with the real engine: the same run, with the dashboard on it and without, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from benchmarks.synthetic_store import BIG, LOUD, STEPS
from coflux.executor.client import Client
from coflux.project import find_project
from tests.tui.terminal import Terminal

COMMAND = (sys.executable, "-m", "coflux")
RATE = 500  # changes a second
SLOW_RATE = 100  # changes a second, on a slow link
PATIENCE = 60.0  # seconds
PROFILE = os.environ.get("PROFILE", "")  # the file that a profile of the dashboard's main thread is written to, if any
FORTH_AND_BACK = (
    "j",
    "k",
    "j",
    "k",
    "pagedown",
    "k",
    "j",
    "pageup",
)  # the cursor stays about where it is, and each key moves it
PAGE_UPS = 30  # keys a second, as a keyboard repeats them

FAN_OUT = """
import time
import coflux as cf


@cf.task()
def nothing(i):
    return i


@cf.workflow()
def fan_out(n: int):
    nothing(0)
    start = time.perf_counter()
    for handle in [nothing.submit(i) for i in range(n)]:
        handle.result()
    return time.perf_counter() - start
"""


_LABEL = re.compile(r"\w+\(.*?\)|\[.*?\]|line \d+|\d+ ended well")  # what tells a row from all others


_Returned = TypeVar("_Returned")


class Figure(NamedTuple):
    """`at_most` and `at_least`: what it should be."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool | None:
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


class Scale(NamedTuple):
    """How thorough it is."""

    seconds: float  # that a load lasts
    repeat: int
    log_lines: int
    fan_out: int  # tasks


FULL = Scale(20.0, 5, 1_000_000, 20_000)
QUICK = Scale(5.0, 2, 100_000, 5_000)


# -- the two processes ------------------------------------------------------------------------------------------------


class Engine:
    """The pretended one, of a project of its own."""

    def __init__(self, root: str, log_lines: int = 1000) -> None:
        self.root = root
        Path(root, "coflux.toml").touch()
        script = str(Path(__file__).with_name("pretend_engine.py"))
        self._process = subprocess.Popen(
            [sys.executable, script, root, str(log_lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            sys.exit("the pretended engine did not start")

    def change(self, rate: float) -> None:
        """Make so many changes a second from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rate}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def engine(log_lines: int = 1000) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as root:
        running = Engine(root, log_lines)
        try:
            yield running
        finally:
            running.close()


class Usage(NamedTuple):
    cpu: float  # percent of a core
    rate: float  # KB/s to the terminal


class Dashboard(Terminal):
    """`coflux attach` on a terminal."""

    def __init__(self, root: str, size: tuple[int, int] = (120, 40), **environment: str) -> None:
        command = [*COMMAND, "attach"]
        if PROFILE:
            command = [sys.executable, str(Path(__file__).with_name("profiled_dashboard.py")), PROFILE]
        super().__init__(command, directory=root, size=size, environment=environment)
        self._size = size

    def open_run(self, run: str) -> float:
        """Open a run from the list, once that is there. Returns the seconds from the key to its tree."""
        self.wait(run, PATIENCE)
        self.press("tab")
        if run != BIG:
            self.press("j")
        self.look(0.3)
        pressed = time.monotonic()
        self.press("enter")
        first = " [batch" if run == BIG else " loud("
        return self.wait(lambda text: run in self.lines[0] and first in text, PATIENCE) - pressed

    def leave(self) -> None:
        """As people do; its profile is written then."""
        self.press("escape")
        self.look(0.3)
        self.press("q")
        self.look(0.3)
        self.press("d")
        self.ended()

    def open_tab(self, title: str) -> None:
        found = re.search(rf"(\d) {title}", self.text())
        if found is None:
            sys.exit(f"there is no tab {title} on the screen:\n{self.text()}")
        self.press(found[1])

    def used(self, during: Callable[[], _Returned]) -> tuple[Usage, _Returned]:
        """What is used while something is done, for so long as it takes; and what that returned."""
        before, written, began = self.cpu_seconds(), len(self.raw), time.monotonic()
        returned = during()
        used, took = self.cpu_seconds() - before, time.monotonic() - began
        return Usage(100 * used / took, (len(self.raw) - written) / 1000 / took), returned

    def cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        """The command may leave the work to a child; the engine is nobody's child."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def most_memory(self) -> float:
        """MB, at most until now."""
        statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in self._processes()]
        return max(int(most) / 1024 for status in statuses for most in re.findall(r"VmHWM:\s*(\d+) kB", status))

    def answers(self, keys: list[tuple[float, str]], column: int) -> list[float]:
        """Milliseconds from each key, of these times, until the cursor was on another row, which is looked for in a
        column of the screen. What was written since the first key must not have been shown yet."""
        latencies, at = [], iter(keys)
        pressed = next(at)[0]
        before = self.cursor_row(column)
        for seen in self.show():
            row = self.cursor_row(column)
            if row in ("", before):  # a picture may come in two pieces
                continue
            while pressed <= seen:  # of a key that is held several may be answered at once
                latencies.append(1000 * (seen - pressed))
                pressed = next(at, (float("inf"), ""))[0]
            before = row
        return latencies

    def cursor_row(self, column: int) -> str:
        """What tells the row apart that looks different from the others in a column of the screen."""
        looks = [self._look(column, line) for line in range(self._size[1])]
        (usual, _), *_ = Counter(looks).most_common(1)
        half = self._size[0] // 2
        for line in range(1, self._size[1] - 1):  # the first line and the last are never of a list
            if looks[line] != usual and "Home /" not in self.lines[line]:
                found = _LABEL.search(self.lines[line], column // half * half)
                return "" if found is None else found[0]
        return ""

    def _look(self, column: int, line: int) -> tuple[object, ...]:
        cell = self.cell(column, line)
        return cell.bg, cell.reverse, cell.underscore


# -- what is measured -------------------------------------------------------------------------------------------------


def start(scale: Scale) -> Iterator[Figure]:
    """`coflux dev` in a new project, engine and all."""
    paints, listed = [], []
    for _ in range(scale.repeat):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "coflux.toml").touch()
            Path(root, "flows.py").write_text(FAN_OUT)
            with Terminal([*COMMAND, "dev", "flows"], directory=root) as terminal:
                paints.append(terminal.wait(lambda text: text.strip(), PATIENCE) - terminal.started)
                listed.append(terminal.wait("fan_out", PATIENCE) - terminal.started)
                terminal.press("q")
                terminal.ended()
            while subprocess.run([*COMMAND, "stop"], cwd=root, capture_output=True, check=False).returncode:
                time.sleep(0.1)
    yield Figure("coflux dev, cold: first paint", statistics.median(paints), "s", at_most=0.7)
    yield Figure("coflux dev, cold: targets listed", statistics.median(listed), "s")


def opening(scale: Scale) -> Iterator[Figure]:
    """The run of 20,000 steps, which is at rest."""
    figures: dict[str, list[float]] = {"start": [], "tree": [], "complete": [], "memory": [], "cpu": []}
    with engine() as running:
        for _ in range(scale.repeat):
            with Dashboard(running.root) as dashboard:
                figures["start"].append(dashboard.wait(BIG, PATIENCE) - dashboard.started)
                dashboard.look(0.5)
                before = dashboard.cpu_seconds()
                opened = time.monotonic()
                figures["tree"].append(dashboard.open_run(BIG))
                opened = time.monotonic() - figures["tree"][-1]
                figures["complete"].append(dashboard.wait(lambda _: _counted(dashboard.lines[0]) >= STEPS) - opened)
                figures["cpu"].append(dashboard.cpu_seconds() - before)
                figures["memory"].append(dashboard.most_memory())
    middle = {name: statistics.median(values) for name, values in figures.items()}
    yield Figure("process start to tree of 20,000 steps", middle["start"] + middle["tree"], "s", at_most=1.0)
    yield Figure("key to tree of 20,000 steps", middle["tree"], "s", at_most=1.0)
    yield Figure("key to all 20,000 steps counted", middle["complete"], "s")
    yield Figure("CPU time to open it", middle["cpu"], "s")
    yield Figure("memory with it open", middle["memory"], "MB", at_most=200)


def _counted(head: str) -> int:
    """How many steps the head of the run's screen tells of, in whichever state."""
    return sum(int(number.replace(",", "")) for number in re.findall(r"[^\w\s,.](\d[\d,]*)(?= )", head))


def load(scale: Scale) -> Iterator[Figure]:
    """500 changes a second."""
    for size, view in (((120, 40), "all"), ((120, 40), "active"), ((160, 50), "all")):
        name = f"{size[0]}x{size[1]}{', active steps only' if view == 'active' else ''}"
        with engine() as running, Dashboard(running.root, size) as dashboard:
            dashboard.open_run(BIG)
            dashboard.wait(lambda _: _counted(dashboard.lines[0]) >= STEPS, PATIENCE)
            if view == "active":
                dashboard.press("b")
            running.change(RATE)
            dashboard.look(2.0)
            usage, _ = dashboard.used(lambda: dashboard.look(scale.seconds))
            dashboard.press(*["j"] * 12)  # away from the first line, at which the cursor would stand still
            dashboard.look(1.0)
            dashboard.text()
            latencies = dashboard.answers(_press_at_random(dashboard, scale.seconds), 25)
            yield Figure(f"{name}: CPU", usage.cpu, "%", at_most=25)
            yield Figure(f"{name}: to the terminal", usage.rate, "KB/s")
            yield Figure(f"{name}: key to paint, median of {len(latencies)}", statistics.median(latencies), "ms")
            yield Figure(f"{name}: key to paint, 95th percentile", _percentile(latencies, 95), "ms", at_most=50)
            yield Figure(f"{name}: memory at most", dashboard.most_memory(), "MB", at_most=200)
            dashboard.leave()


def _press_at_random(dashboard: Dashboard, seconds: float) -> list[tuple[float, str]]:
    """Press keys that move the cursor, far enough apart that each is answered before the next one."""
    chance = random.Random(7)
    keys: list[tuple[float, str]] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        key = FORTH_AND_BACK[len(keys) % len(FORTH_AND_BACK)]
        keys.append((time.monotonic(), key))
        dashboard.press(key)
        dashboard.look(chance.uniform(0.13, 0.3))
    return keys


def slow_link(scale: Scale) -> Iterator[Figure]:
    """100 changes a second."""
    for name, environment in (("", {}), (" over SSH", {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})):
        with engine() as running, Dashboard(running.root, **environment) as dashboard:
            dashboard.open_run(BIG)
            running.change(SLOW_RATE)
            dashboard.look(2.0)
            usage, _ = dashboard.used(lambda: dashboard.look(scale.seconds))
            yield Figure(f"{SLOW_RATE} changes/s{name}: to the terminal", usage.rate, "KB/s", at_most=20)
            yield Figure(f"{SLOW_RATE} changes/s{name}: CPU", usage.cpu, "%", at_most=10)
            running.change(0)
            dashboard.look(2.0)
            idle, _ = dashboard.used(lambda: dashboard.look(scale.seconds / 4))
            yield Figure(f"no changes{name}: CPU", idle.cpu, "%")


def logs(scale: Scale) -> Iterator[Figure]:
    """A million lines."""
    lines, size, column = scale.log_lines, (160, 50), 130
    name = f"{lines:,} log lines"
    with engine(lines) as running, Dashboard(running.root, size) as dashboard:
        dashboard.open_run(LOUD)
        dashboard.look(0.5)
        began = time.monotonic()
        dashboard.open_tab("Logs")
        # Of the last lines there is always one whose number is in its text.
        newest = [f"line {number}:" for number in range(lines - 4, lines)]
        ended = dashboard.wait(lambda text: any(line in text for line in newest), PATIENCE)
        yield Figure(f"{name}: key to the last one", ended - began, "s")
        dashboard.wait(lambda text: re.search(rf"{lines:,}", text), PATIENCE)
        dashboard.look(0.5)
        dashboard.text()
        keys: list[tuple[float, str]] = []

        def hold() -> None:
            for _ in range(PAGE_UPS * 5):
                keys.append((time.monotonic(), "pageup"))
                dashboard.press("pageup")
                dashboard.look(1 / PAGE_UPS)
            dashboard.look(1.0)

        usage, _ = dashboard.used(hold)
        latencies = dashboard.answers(keys, column)
        yield Figure(
            f"{name}: page up held, key to paint, 95th percentile", _percentile(latencies, 95), "ms", at_most=50
        )
        yield Figure(f"{name}: page up held, longest", max(latencies), "ms")
        yield Figure(f"{name}: page up held, CPU", usage.cpu, "%")
        dashboard.press("/", *"slow answer")
        dashboard.look(0.5)
        dashboard.text()
        began = time.monotonic()
        dashboard.press("enter")
        first = dashboard.wait(re.compile(r"line \d+: slow").search, PATIENCE)
        yield Figure(f"{name}: filter, first match", first - began, "s")
        matches = re.compile(rf"(?<![\d,]){lines // 1000:,}(?![\d,])")
        found = dashboard.wait(matches.search, PATIENCE)
        yield Figure(f"{name}: filter, all matches", found - began, "s")
        yield Figure(f"{name}: memory at most", dashboard.most_memory(), "MB", at_most=200)


def throughput(scale: Scale) -> Iterator[Figure]:
    """The real engine, with nothing but its own work to do."""
    ratios, watched_cpu = [], []
    with tempfile.TemporaryDirectory() as root:
        Path(root, "coflux.toml").touch()
        Path(root, "flows.py").write_text(FAN_OUT)
        with Client.connect(find_project(root), "command"):  # the engine stays as long as we do
            _fan_out(root, 100, None)
            for _ in range(scale.repeat):
                headless = _fan_out(root, scale.fan_out, None)
                with Dashboard(root) as dashboard:
                    dashboard.wait("fan_out", PATIENCE)
                    dashboard.look(1.0)
                    dashboard.press("tab")
                    usage, watched = dashboard.used(partial(_fan_out, root, scale.fan_out, dashboard))
                    ratios.append(watched / headless)
                    watched_cpu.append(usage.cpu)
                    dashboard.look(0.5)
                    if "▾" not in dashboard.text():
                        sys.exit(f"the run was not opened:\n{dashboard.text()}")
        subprocess.run([*COMMAND, "stop", "--cancel"], cwd=root, capture_output=True, check=False)
    yield Figure("throughput, dashboard open to headless", statistics.median(ratios), "x", at_least=0.9)
    yield Figure("CPU of the dashboard meanwhile", statistics.median(watched_cpu), "%")


def _fan_out(root: str, tasks: int, dashboard: Dashboard | None) -> float:
    """Tasks a second; the run is opened in the dashboard."""
    command = [*COMMAND, "run", "--no-ui", "flows/fan_out", str(tasks)]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    began, opened = time.monotonic(), False
    while dashboard is not None and process.poll() is None:
        dashboard.look(0.05)
        if not opened and time.monotonic() - began > 0.5:
            opened = True
            dashboard.press("g", "enter")
    out, _ = process.communicate()
    return tasks / float(json.loads(out))


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


SUBJECTS = {
    "start": start,
    "open": opening,
    "load": load,
    "slow-link": slow_link,
    "logs": logs,
    "throughput": throughput,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, and with less to look at")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SUBJECTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.pop("COFLUX_DATA_DIR", None)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    figures: list[Figure] = []
    for name in options.only:
        for figure in SUBJECTS[name](QUICK if options.quick else FULL):
            figures.append(figure)
            if not options.json:
                print(_row(figure), flush=True)
    if options.json:
        print(json.dumps([figure._asdict() for figure in figures], indent=1))


def _row(figure: Figure) -> str:
    limit = ""
    if figure.at_most is not None:
        limit = f"≤ {figure.at_most:g}"
    elif figure.at_least is not None:
        limit = f"≥ {figure.at_least:g}"
    verdict = {True: "ok", False: "MISSED", None: ""}[figure.holds]
    return f"{figure.name:<72} {figure.value:>9.2f} {figure.unit:<5} {limit:>7}  {verdict}"


if __name__ == "__main__":
    main()
