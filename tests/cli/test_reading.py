"""Commands that read the store: no engine runs in these tests."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from coflux.cli import exits
from coflux.cli.interrupted import advice
from coflux.encoded import Value
from coflux.executor.messages import Succeeded
from coflux.logs import Level
from tests.cli.samples import FAILURE, TIMEOUT, Command, recording, succeeded

ROOT = str(Path(__file__).parents[2])
STEPS = "`coflux runs inspect Rbcd` shows the steps there are"


@pytest.fixture
def stored(tmp_path: Path) -> None:
    """A run `Rbcd`: step 2 failed twice, step 3 timed out, step 4 is running, the root has succeeded."""
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("succeeded", settled=True)
        recorder.step(1, "nightly", '"a"')
        recorder.execution(1, "succeeded", succeeded('"tea ☕"'))
        recorder.step(2, "load")
        recorder.execution(2, "failed", FAILURE, following="Rbcd:2:2")
        recorder.execution(2, "failed", FAILURE, attempt=2)
        recorder.step(3, "count")
        recorder.execution(3, "timed_out", TIMEOUT)
        recorder.step(4, "wait")
        recorder.execution(4, "running", reason="")
        recorder.log(2, Level.STDOUT, "reading")
        recorder.log(2, Level.ERROR, "cannot read {file}", values=b'{"file":"a.txt","again":true}')
        recorder.log(1, Level.INFO, "done")
        recorder.commit()


# -- runs -------------------------------------------------------------------------------------------------------------


def test_no_store_is_no_runs(coflux: Command, tmp_path: Path) -> None:
    status, out, err = coflux("runs", "list")
    assert (status, out) == (0, "")
    assert str(tmp_path / ".coflux") in err
    assert coflux("runs", "list", "--json") == (0, '{"version":1,"runs":[]}\n', "")


def test_what_is_not_there_is_not_found(coflux: Command, tmp_path: Path) -> None:
    """Also where there is no store at all."""
    missing = f"coflux: there are no runs in {tmp_path}/.coflux: `coflux run` creates a store\n"
    for arguments in ("runs list --before Rnope", "runs inspect Rnope", "runs delete Rnope", "logs Rnope"):
        assert coflux(*arguments.split()) == (exits.NOT_FOUND, "", missing)


def test_a_store_that_cannot_be_read_is_one_line(coflux: Command, tmp_path: Path) -> None:
    (tmp_path / ".coflux").mkdir()
    (tmp_path / ".coflux" / "coflux.db").write_text("this is no database" * 100)
    status, out, err = coflux("runs", "list")
    assert (status, out, err.count("\n")) == (exits.USAGE, "", 1)


@pytest.mark.usefixtures("stored")
def test_runs_are_listed(coflux: Command) -> None:
    status, out, _ = coflux("runs", "list")
    assert status == 0
    assert out.startswith("Rbcd   succeeded  2023-11-")
    assert out.rstrip().endswith("2.0s  app.flows/nightly")
    listed = json.loads(coflux("runs", "list", "--json")[1])
    assert [(row["id"], row["status"], row["target"]) for row in listed["runs"]] == [
        ("Rbcd", "succeeded", "app.flows/nightly")
    ]
    assert json.loads(coflux("runs", "list", "--status", "failed", "--json")[1])["runs"] == []


def test_runs_of_one_workspace_are_listed(coflux: Command, tmp_path: Path) -> None:
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.workspace("mine")
        for run, workspace in (("Rbcd", "default"), ("Rbce", "mine")):
            recorder.run("succeeded", run=run, settled=True, workspace=workspace)
        recorder.commit()
    assert [line.split()[0] for line in coflux("runs", "list")[1].splitlines()] == ["Rbce", "Rbcd"]
    (line,) = coflux("runs", "list", "--workspace", "mine")[1].splitlines()
    assert line.startswith("Rbce ")
    assert line.endswith("  app.flows/nightly  in mine")
    assert coflux("runs", "list", "--workspace", "default", "--status", "failed") == (0, "", "")
    for command in (["runs", "list"], ["queue"]):
        missing = "coflux: there is no workspace 'defalt'; did you mean 'default'?\n"
        assert coflux(*command, "--workspace", "defalt") == (exits.USAGE, "", missing)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["Rbcd"], 0, '"tea ☕"\n', ""),
        (["Rbcd", "--raw"], 0, "tea ☕\n", ""),
        (["Rbcd:1:1"], 0, '"tea ☕"\n', ""),
        (["Rbcd:2"], 1, "", "Rbcd:2:2 failed: ValueError: no^[[2J\n"),
        (["Rbcd:2:1"], 1, "", "Rbcd:2:1 failed: ValueError: no^[[2J\n"),
        (["Rbcd:3"], 124, "", "Rbcd:3:1 timed out: no outcome after 2 s\n"),
        (["Rbcd:4"], 1, "", f"coflux: Rbcd:4 has no result: {advice(['Rbcd'])}\n"),
        (["Rbcd:9"], 3, "", f"coflux: there is no step Rbcd:9; {STEPS}\n"),
        (["Rbcd:2:3"], 3, "", f"coflux: there is no execution Rbcd:2:3; {STEPS}\n"),
        (["Rbce"], 3, "", "coflux: there is no run 'Rbce': did you mean Rbcd?\n"),
    ],
)
def test_results(coflux: Command, arguments: list[str], status: int, out: str, err: str) -> None:
    assert coflux("runs", "result", *arguments) == (status, out, err)


def test_a_result_without_a_json_form_is_shown_in_some_lines_on_a_terminal(coflux: Command, tmp_path: Path) -> None:
    (tmp_path / ".coflux").mkdir()
    value = Value("pickle", b"never loaded", 12, preview="ndarray int64 (2,) 16 bytes", summary="ndarray\n1  2")
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("succeeded", settled=True)
        recorder.step(1, "main")
        recorder.execution(1, "succeeded", Succeeded(value))
        recorder.commit()
    assert coflux("runs", "result", "Rbcd") == (0, "ndarray int64 (2,) 16 bytes\n", "")
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "coflux", "runs", "result", "Rbcd"]
    outer, inner = pty.openpty()
    try:
        subprocess.run(command, env=environment, stdout=inner, check=True)
        assert os.read(outer, 1000) == b"ndarray\r\n1  2\r\n"
    finally:
        os.close(outer)
        os.close(inner)


@pytest.mark.usefixtures("stored")
def test_a_result_as_json_has_the_same_status(coflux: Command) -> None:
    status, out, _ = coflux("runs", "result", "Rbcd:3", "--json")
    document = json.loads(out)
    assert status == exits.TIMED_OUT
    assert (document["execution"], document["status"], document["result"]) == ("Rbcd:3:1", "timed_out", None)
    assert document["error"]["type"] == "coflux.errors.ExecutionTimeout"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", ["rerun", "resume"])
def test_what_is_not_there_is_not_executed_again(coflux: Command, command: str) -> None:
    missing = (exits.NOT_FOUND, "", "coflux: there is no run 'Rbce': did you mean Rbcd?\n")
    assert coflux("runs", command, "Rbce") == missing
    assert coflux("runs", "rerun", "Rbcd:9") == (exits.NOT_FOUND, "", f"coflux: there is no step Rbcd:9; {STEPS}\n")


@pytest.mark.usefixtures("stored")
def test_cancelling_what_has_ended_is_no_error(coflux: Command) -> None:
    assert coflux("runs", "cancel", "Rbcd") == (0, "Rbcd has ended already: run Rbcd succeeded\n", "")


# -- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["Rbcd"], ["load | reading", "load error: cannot read a.txt again=True", "nightly info: done"]),
        (["Rbcd:2"], ["load | reading", "load error: cannot read a.txt again=True"]),
        (["Rbcd:2:2"], []),
        (["Rbcd", "--level", "warning"], ["load error: cannot read a.txt again=True"]),
        (["Rbcd", "--grep", "READ"], ["load | reading", "load error: cannot read a.txt again=True"]),
        (["Rbcd", "-n", "1"], ["nightly info: done"]),
        (["Rbcd", "--since", "2023-11-14T22:13:20Z", "--where", "file"], ["load error: cannot read a.txt again=True"]),
        (["Rbcd", "--since", "10m"], []),
        (["Rbcd", "--until", "2023-11-14"], []),
        (["Rbcd", "--where", "file=a.txt"], ["load error: cannot read a.txt again=True"]),
        (["Rbcd", "--where", 'file="a.txt"'], ["load error: cannot read a.txt again=True"]),
        (["Rbcd", "--where", "file=1", "--where", "file=100000000000000000000"], []),
        (["Rbcd", "--where", "again=True"], ["load error: cannot read a.txt again=True"]),
        (["Rbcd", "--where", "again=False"], []),
        (["Rbcd", "--logger", "app"], []),
    ],
)
def test_logs(coflux: Command, arguments: list[str], texts: list[str]) -> None:
    status, out, err = coflux("logs", *arguments)
    assert (status, err) == (0, "")
    assert [line.split(" ", 2)[2] for line in out.splitlines()] == texts


@pytest.mark.usefixtures("stored")
def test_following_a_log_ends_with_the_runs_end(coflux: Command) -> None:
    _, out, _ = coflux("logs", "Rbcd")
    assert coflux("logs", "Rbcd", "--follow") == (0, out, "run Rbcd succeeded\n")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("Rbce", "there is no run 'Rbce': did you mean Rbcd?"),
        ("Rbcd:9", "there is no step Rbcd:9; `coflux runs inspect Rbcd` shows the steps there are"),
        ("Rbcd:2:3", "there is no execution Rbcd:2:3; `coflux runs inspect Rbcd` shows the steps there are"),
        ("R-1", "'R-1' is no id: write RUN, RUN:STEP or RUN:STEP:ATTEMPT"),
    ],
)
def test_logs_of_nothing(coflux: Command, identifier: str, message: str) -> None:
    assert coflux("logs", identifier) == (exits.NOT_FOUND, "", f"coflux: {message}\n")


@pytest.mark.usefixtures("stored")
def test_logs_as_json(coflux: Command) -> None:
    document = json.loads(coflux("logs", "Rbcd", "--json")[1])
    assert [(entry["execution"], entry["level"], entry["text"]) for entry in document["logs"]] == [
        ("Rbcd:2:1", "stdout", "reading"),
        ("Rbcd:2:1", "error", "cannot read a.txt again=True"),
        ("Rbcd:1:1", "info", "done"),
    ]
    assert json.loads(coflux("logs", "Rbcd:3", "--json")[1]) == {"version": 1, "logs": []}
    lines = coflux("logs", "Rbcd", "--json", "--follow")[1].splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["reading", "cannot read a.txt again=True", "done"]


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("redirection", "status", "error"),
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("2>&-", 0, ""),
        (">/dev/full", 1, "coflux: cannot write to standard output: No space left on device\n"),
        ("2>/dev/full", 0, ""),
    ],
)
@pytest.mark.parametrize("arguments", ["logs Rbcd", "--help"])
def test_streams_that_take_nothing(tmp_path: Path, arguments: str, redirection: str, status: int, error: str) -> None:
    command = f"exec {sys.executable} -m coflux {arguments} {redirection}"
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, error)


# -- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rns"], "there is no command 'rns'; did you mean 'runs'?"),
        (["run", "--bogus", "a/b"], "there is no option '--bogus'"),
        (["run", "--detatch", "a/b"], "there is no option '--detatch'; did you mean '--detach'?"),
        (["run"], "Missing argument 'TARGET'."),
        (["run", "nope"], "'nope' is no target: write module/name, path/to/file.py/name or path/to/file.py"),
        (["run", "--requires", "=1", "a/b"], "Invalid value for '--requires': '=1' is neither TAG nor TAG=VALUE"),
        (["run", "--requires", "gpu=", "a/b"], "Invalid value for '--requires': 'gpu=' is neither TAG nor TAG=VALUE"),
        (
            ["run", "--requires", "gpu", "--requires", "gpu=false", "a/b"],
            "Invalid value for '--requires': 'gpu' is required in ways that contradict each other",
        ),
        (["run", "--requires", "gpu", "--no-requires", "a/b"], "--requires and --no-requires exclude each other"),
        (["runs", "rerun", "--json", "--raw", "Rbcd"], "--json, --events and --raw exclude each other"),
        (["cache", "clear"], "name a target, or say --all"),
        (["cache", "clear", "--all", "a/b"], "name a target, or say --all"),
        (["cache", "clear", "nope"], "'nope' is no target: write module/name, path/to/file.py/name or path/to/file.py"),
        (["run", "--json", "--events", "a/b"], "--json, --events and --raw exclude each other"),
        (
            ["run", "--detach", "--events", "a/b"],
            "--detach waits for nothing: leave out --events and --no-wait-children",
        ),
        (
            ["run", "--delay", "-1h", "a/b"],
            "Invalid value for '--delay': '-1h' is not a duration of 0 or more: seconds, or like 1h30m",
        ),
        (
            ["run", "--timeout", "nan", "a/b"],
            "Invalid value for '--timeout': 'nan' is not a duration of 0 or more: seconds, or like 1h30m",
        ),
        (
            ["run", "--retries", "-1", "a/b"],
            "Invalid value for '--retries': '-1' is neither a whole number, 0 or more, nor 'unlimited'",
        ),
        (["run", "--args", "{}", "a/b"], "Invalid value for '--args': write @FILE, or - for standard input"),
        (
            ["run", "--args", "@missing.json", "a/b"],
            "Invalid value for '--args': cannot read missing.json: No such file or directory",
        ),
        (
            ["run", "--args", "@bad.json", "a/b"],
            "Invalid value for '--args': not JSON: Expecting value: line 1 column 2 (char 1)",
        ),
        (
            ["run", "--args", "@text.json", "a/b"],
            "Invalid value for '--args': must be a JSON object (by name) or array (by position)",
        ),
        (
            ["logs", "Rbcd", "--since", "yesterday"],
            "Invalid value for '--since': 'yesterday' is neither a time (2026-01-31T12:00) nor how long ago (1h30m)",
        ),
        (["logs", "Rbcd", "--where", "=1"], "Invalid value for '--where': '=1' is neither KEY nor KEY=VALUE"),
    ],
)
def test_wrong_usage_is_one_line(coflux: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / "text.json").write_text('"text"')
    assert coflux(*arguments) == (exits.USAGE, "", f"coflux: {message}\n")


def test_an_unknown_option_is_named(coflux: Command) -> None:
    status, out, err = coflux("run", "--nope", "a/b")
    assert (status, out, err.count("\n")) == (exits.USAGE, "", 1)
    assert "--nope" in err


def test_a_bad_configuration_is_one_line(coflux: Command, tmp_path: Path) -> None:
    (tmp_path / "coflux.toml").write_text("concurency = 1\n")
    expected = f"coflux: {tmp_path}/coflux.toml: unknown key 'concurency'; did you mean 'concurrency'?\n"
    assert coflux("runs", "list") == (exits.USAGE, "", expected)


def test_stop_without_an_engine_says_so(coflux: Command, tmp_path: Path) -> None:
    assert coflux("stop") == (0, f"no engine runs for {tmp_path}\n", "")


def test_doctor_tells_what_it_finds(coflux: Command, tmp_path: Path) -> None:
    _, out, _ = coflux("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(out)["findings"]}
    assert findings["project"]["value"] == str(tmp_path)
    assert findings["data"]["value"] == f"{tmp_path}/.coflux (no runs yet)"
    assert findings["engine"]["problem"] == ""


def test_doctor_exits_1_for_a_problem(coflux: Command, tmp_path: Path) -> None:
    (tmp_path / ".coflux").mkdir()
    (tmp_path / ".coflux" / "coflux.db").write_text("this is no database" * 100)
    (tmp_path / ".coflux" / "logs.db").touch()
    status, out, _ = coflux("doctor")
    assert status == exits.FAILED
    assert f"problem: {tmp_path}/.coflux/coflux.db is damaged" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(coflux: Command, shell: str) -> None:
    status, out, _ = coflux("completion", shell)
    assert status == 0
    assert "_COFLUX_COMPLETE" in out


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("coflux runs inspect R", ["plain,Rbcd"]),
        ("coflux run app", ["plain,app.flows/nightly", "file,app"]),
        ("coflux run x", ["file,x"]),
        ("coflux run --workspace d", ["plain,default"]),
        ("coflux runs rerun R", ["plain,Rbcd"]),
        ("coflux runs resume R", ["plain,Rbcd"]),
        ("coflux why R", ["plain,Rbcd"]),
        ("coflux cache clear app", ["plain,app.flows/nightly", "file,app"]),
        ("coflux workspaces pause d", ["plain,default"]),
        ("coflux nonsense x", [""]),
    ],
)
def test_words_are_completed_from_the_store(
    coflux: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: str,
    completions: list[str],
) -> None:
    monkeypatch.setenv("_COFLUX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        coflux()
    out, err = capfd.readouterr()
    assert (out.splitlines(), err) == (completions, "")


# -- workspaces and queue ---------------------------------------------------------------------------------------------


def test_workspaces_are_listed(coflux: Command, tmp_path: Path) -> None:
    with recording(tmp_path / ".coflux") as recorder:
        recorder.workspace("base")
        recorder.workspace("derived", "base")
    status, out, err = coflux("workspaces", "list")
    assert (status, out.splitlines(), err) == (
        0,
        ["base     active", "default  active", "derived  active    based on base"],
        "",
    )
    listed = json.loads(coflux("workspaces", "list", "--json")[1])
    assert (listed["version"], listed["workspaces"][2]) == (
        1,
        {"name": "derived", "base": "base", "state": "active", "created_at": "2023-11-14T22:13:20.000000Z"},
    )


def test_what_is_left_in_the_queue_without_an_engine(coflux: Command, tmp_path: Path) -> None:
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("running")
        recorder.step(1, "nightly")
        recorder.execution(1, "queued", reason="ready")
        recorder.commit()
    status, out, err = coflux("queue")
    assert (status, out.split()[:2], out.split()[-1]) == (0, ["Rbcd:1:1", "app.flows/nightly"], "ready")
    assert err == f"{advice(['Rbcd'])}\n"


def test_no_store_is_no_queue_and_no_workspaces(coflux: Command, tmp_path: Path) -> None:
    assert coflux("queue") == (0, "", "nothing is queued\n")
    assert coflux("queue", "--json") == (0, '{"version":1,"queue":[]}\n', "")
    assert coflux("workspaces", "list", "--json") == (0, '{"version":1,"workspaces":[]}\n', "")
    missing = f"coflux: there are no runs in {tmp_path}/.coflux: `coflux run` creates a store\n"
    for arguments in ("why Rbcd:1", "cache clear --all", "runs rerun Rbcd", "runs resume Rbcd"):
        assert coflux(*arguments.split()) == (exits.NOT_FOUND, "", missing)
