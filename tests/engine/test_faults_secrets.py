"""F14: a secret is in no text, however it gets there, and nowhere on the disk but in exact values."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path

from tests.engine.scratch import ScratchProject, attempts, eventually

TOKEN = "tök'en \"of\\the\nenvironment-0123456789"  # quotes, a backslash, two lines, and what is not ASCII
PLAIN = "plain-password-987654"
MADE = "made-in-the-run-Zq7"

# What would be left of a secret if a part of it were shown.
TELLING = (
    *("tök", "t\\u00f6k", "t\\xf6k", "t\\xc3\\xb6k", "environment-0123"),
    *("t%C3%B6k", "environment-0123%", base64.b64encode(PLAIN.encode())[4:-4].decode()),
    *("plain-pass", "password-9", "made-in-the", "run-Zq7", "set-while", "it-runs-77"),
)

ENVIRONMENT = {"FLOW_TOKEN": TOKEN, "DB_PASSWORD": PLAIN}

FLOW = """
import base64, ctypes, dataclasses, json, logging, subprocess, urllib.parse

TOKEN = os.environ["FLOW_TOKEN"]
PLAIN = os.environ["DB_PASSWORD"]

@dataclasses.dataclass
class Login:
    user: str
    password: str

class Refused(Exception):
    def __init__(self, message, login):
        super().__init__(message, login)
        self.hint = "use " + PLAIN

@cf.task()
def prints(made):
    print("whole", TOKEN, PLAIN, made.value)
    print("basic", base64.b64encode(("user:" + PLAIN).encode()).decode(), urllib.parse.quote(TOKEN, safe=""))
    print("escaped", repr(TOKEN), json.dumps({"t": TOKEN}), ascii([TOKEN]), TOKEN.encode(), repr(json.dumps(TOKEN)))
    sys.stdout.write("halves " + PLAIN[:7])
    sys.stdout.flush()
    sys.stdout.write(PLAIN[7:] + "\\n")
    os.write(1, ("bytes " + PLAIN[:3]).encode())
    gate("rest", 60)
    os.write(1, (PLAIN[3:] + " end\\n").encode())
    subprocess.run(["sh", "-c", 'echo "child $DB_PASSWORD"'], check=True)
    ctypes.CDLL(None).puts(b"C " + PLAIN.encode())

@cf.task()
def logs(made):
    cf.log_info("template " + TOKEN + made.value, text=json.dumps([TOKEN]), nested=[{PLAIN: (TOKEN, b"x")}])
    cf.log_info("object {login}", login=Login("me", PLAIN), long="x" * 180 + PLAIN, cut={"x" * 190 + PLAIN})
    logging.getLogger("flow." + PLAIN).error("logging %s", PLAIN)
    with cf.group("group " + PLAIN):
        group, scale = cf.MetricGroup("chart " + PLAIN, units=PLAIN), cf.MetricScale("axis " + PLAIN, units=PLAIN)
        cf.Metric("metric " + PLAIN, group=group, scale=scale).record(1)
        cf.Metric("metric " + made.value).record(2)
    open("report.txt", "w").close()
    cf.asset("report.txt", name="asset " + PLAIN)

@cf.task()
def fails(made):
    try:
        raise KeyError(PLAIN)
    except KeyError as cause:
        error = Refused("refused " + TOKEN, made.value)
        error.add_note("a note with " + PLAIN)
        raise error from cause

@cf.task()
def sets():
    os.environ["LATE_TOKEN"] = "-".join(["set", "while", "it", "runs", "77"])
    print("set", os.environ["LATE_TOKEN"])
    os.environ["LATE_NAME"] = "of no token"
    print("set", os.environ["LATE_NAME"])
    if os.fork() == 0:
        os.environ["TOKEN_OF_A_CHILD"] = "no other process knows it"
        os._exit(0)
    os.wait()

@cf.task()
def crashes():
    print("before the crash", PLAIN, flush=True)
    os._exit(3)

@cf.task(timeout=0.5)
def hangs():
    print("still " + PLAIN[:5], end="", flush=True)
    time.sleep(60)

@cf.workflow()
def main(token="nothing"):
    made = cf.Secret("made-in-the-" + "run-Zq7")
    handles = [prints.submit(made), logs.submit(made), fails.submit(made)]
    handles += [crashes.submit(), hangs.submit(), sets.submit()]
    for handle in handles:
        try:
            handle.result()
        except Exception as error:
            print(type(error).__name__, error)
    return [made, cf.Secret.env("DB_PASSWORD"), handles[0]]
"""


def _shown_by(project: ScratchProject, run: str) -> list[str]:
    """What the commands that read say of a run."""
    commands = [
        ("runs", "inspect", run, "--json"),
        ("runs", "result", run),
        ("logs", run),
        ("logs", run, "--json"),
        ("metrics", run),
        ("metrics", run, "--json"),
        ("why", f"{run}:2"),
    ]
    outputs = [project.coflux(*command).out for command in commands]
    assert all(outputs[:2])
    return outputs


def _stored(project: ScratchProject) -> bytes:
    """All bytes in the data directory."""
    directory = Path(project.project.data_dir)
    files = [file for file in directory.rglob("*") if file.is_file()]
    assert {"coflux.db-wal", "logs.db-wal", "supervisor.log"} <= {file.name for file in files}
    return b"\n".join(file.read_bytes() for file in files)


def _telling(*texts: str) -> list[str]:
    return [part for part in TELLING if any(part in text for text in texts)]


def test_f14_o06_a_secret_is_in_no_text_and_not_on_the_disk(project: ScratchProject) -> None:
    """A token and a password of the environment, and a secret made in the run, on every way into a text."""
    project.write("flow", FLOW)
    project.hold()
    running = project.drained(project.start("run", "--no-ui", "--events", "flow/main", **ENVIRONMENT))
    run = project.only_run()
    eventually(lambda: "bytes " in project.output(run))  # half a line that rests, up to the beginning of the password
    project.open_gate("rest")
    finished = running()
    assert finished.status == 0, finished.err
    outputs = _shown_by(project, run)
    assert _telling(finished.out, finished.err, *outputs) == []
    stored = _stored(project)
    assert [part for part in TELLING if part.encode() in stored] == []
    lines = project.output(run)
    assert "escaped '***' {\"t\": \"***\"} ['***'] b'***' '\"***\"'" in lines
    assert {"halves ***", "*** end", "child ***", "C ***", "before the crash ***", "set ***", "set of no token"} <= set(
        lines
    )
    assert "".join(lines).count("still ") == 1
    assert [line for line in lines if line.endswith("plain")] == []
    assert attempts(project.read(run), "fails")[0]["status"] == "failed"
    assert attempts(project.read(run), "sets")[0]["status"] == "succeeded"
    metrics = json.loads(outputs[5])["metrics"]
    assert [metric["key"] for metric in metrics] == ["metric ***"] * 2  # two, though nobody can tell them apart
    assert (metrics[0]["group"]["units"], metrics[0]["scale"]["name"]) == ("***", "axis ***")
    assert json.loads(outputs[1])[:2] == [{"$secret": None}, {"$secret": "DB_PASSWORD"}]


EXACT = """
import dataclasses

@dataclasses.dataclass
class Login:
    user: str
    password: str

@cf.task()
def echo(value):
    return value

@cf.task(cache=True)
def length(secret: cf.Secret):
    mark("length")
    return len(secret.value)

@cf.task()
def fails(login):
    raise ValueError(login)

@cf.workflow()
def main(token: str, secret: cf.Secret):
    password = os.environ["DB_PASSWORD"]
    for value in (token, Login("me", password), {password: [token]}, "x" * 190 + password, cf.Secret(token), secret):
        assert echo(value) == value
    for name in ("rest", None, 5):  # neither the type nor the value of anything else changes
        assert echo(name) == name
    assert length(cf.Secret(token)) == length(cf.Secret(token)) == len(token)
    try:
        fails(Login("me", password))
    except ValueError as error:
        assert error.args == (Login("me", password),)
    assert secret.value == password
    return [token, {password: 1}]
"""


def test_values_are_exact_and_their_texts_are_not(shared: ScratchProject) -> None:
    """Previews of arguments and results, their JSON, and what the command line was given."""
    shared.write("exact", EXACT)
    finished = shared.run("exact/main", TOKEN, "--secret", "env:DB_PASSWORD", **ENVIRONMENT)
    assert (finished.status, finished.value) == (0, ["***", {"***": 1}]), finished.err
    run = shared.last_run()
    assert _telling(finished.err, *_shown_by(shared, run)) == []
    document = shared.read(run)
    assert document["steps"][0]["arguments"] == ["'***'", "Secret.env('DB_PASSWORD')"]
    assert document["steps"][2]["arguments"] == ["Login(user='me', password='***')"]
    assert len(shared.marks("length")) == 1  # equal secrets have equal keys
    refused = shared.run("exact/main", TOKEN, "--secret", PLAIN, **ENVIRONMENT)
    assert refused.status == 2
    assert "a secret is given as env:NAME" in refused.err
    assert _telling(refused.err) == []


SCRIPT = """
import coflux as cf
import sys

@cf.task()
def give_back(secret, fail):
    print("it is", secret.value)
    if fail:
        raise ValueError(secret.value)
    return secret, secret.value

secret = cf.Secret("kept-by-the-engine")
assert cf.run(give_back, secret, False) == (secret, "kept-by-the-engine")
handle = cf.start(give_back, cf.Secret("kept-by-the-engine-2"), True)
try:
    handle.result()
except ValueError as error:
    print(handle.id, error)
"""


def test_a_script_passes_secrets_and_gets_them_back(shared: ScratchProject) -> None:
    shared.write("script", SCRIPT, prelude=False)
    done = shared.python("script.py")
    assert done.status == 0, done.err
    run, message = done.out.split()
    assert message == "***"
    assert shared.output(run) == ["it is ***"]
    assert shared.read(run)["steps"][0]["arguments"] == ["Secret('***')", "True"]


RESTARTED = """
@cf.task(delay=1.5, retries=3)
def by_value(secret):
    mark("by value")

@cf.task(delay=1.5)
def by_name(secret):
    return [secret["secret"].value == os.environ["NIGHT_TOKEN"], len(os.environ["NIGHT_TOKEN"])]

@cf.workflow()
def main():
    by_value.submit([cf.Secret("only-in-the-memory")])
    by_name.submit({"secret": cf.Secret.env("NIGHT_TOKEN")})
"""


def test_after_a_restart_only_names_are_left(project: ScratchProject) -> None:
    """A secret that was passed by value fails its step, once; the environment is that of who started the engine."""
    project.write("flow", RESTARTED)
    run = project.detach("flow/main", NIGHT_TOKEN="at-night-all-cats")
    eventually(lambda: len(project.read(run)["steps"]) == 3)
    os.kill(project.supervisor_pid(), signal.SIGKILL)
    eventually(lambda: not project.processes())
    stored = _stored(project)
    assert b"only-in-the-memory" not in stored
    assert b"at-night-all-cats" not in stored
    project.environment["NIGHT_TOKEN"] = "a-new-one"
    project.hold()
    document = project.settled(run)
    [by_value] = attempts(document, "by_value")
    assert by_value["status"] == "failed"
    assert by_value["error"]["message"] == (
        "an argument cannot be had: the value holds a Secret(...) that was in the engine's memory only, and the engine"
        " has been restarted since: run it again, and pass Secret.env(NAME), which is read where it is used"
    )
    assert project.marks("by value") == []
    [by_name] = attempts(document, "by_name")
    assert by_name["status"] == "succeeded"
    assert json.loads(project.coflux("runs", "result", f"{run}:3").out) == [True, len("a-new-one")]


TAGGED = """
PLAIN = os.environ["DB_PASSWORD"]

@cf.task(requires={"region": [PLAIN], "k" + PLAIN: True})
def nowhere():
    pass

@cf.task()
def waits():
    gate("waits")

@cf.workflow()
def main(n: int = 1):
    waits.submit()
    nowhere()
"""


def test_reasons_show_no_secret_that_is_a_tag(project: ScratchProject) -> None:
    """Nor do refusals show one that is an idempotency key. (Both are stored as options, which are exact.)"""
    project.write("flow", TAGGED)
    key = ("--idempotency-key", PLAIN)
    process = project.start("run", "--no-ui", "--events", *key, "flow/main", **ENVIRONMENT)
    run = project.only_run()
    eventually(lambda: "no worker group" in project.coflux("queue").out)
    refused = project.coflux("run", *key, "flow/main", "2", **ENVIRONMENT)
    assert "idempotency key '***'" in refused.err
    commands = [("queue", "--json"), ("why", f"{run}:3"), ("runs", "inspect", run), ("runs", "inspect", run, "--json")]
    outputs = [project.coflux(*command).out for command in commands]
    assert all("no worker group provides region=*** and k***" in output for output in outputs), outputs
    project.open_gate("waits")
    finished = project.drained(process)()
    assert "no worker group provides region=*** and k***" in finished.err
    assert _telling(refused.out, refused.err, finished.out, finished.err, *outputs) == []
