"""From the store to what is shown: the feed, and its displays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coflux.cli.lines import Narrator
from coflux.cli.ndjson import Events
from coflux.cli.progress import Lines, Problems
from coflux.cli.tree import Tree
from coflux.display.feed import Event, Feed, RunChanged
from coflux.executor.history import History
from coflux.executor.series import Progress
from coflux.logs import Level
from tests.cli.samples import FAILURE, PLAIN, TIMEOUT, Captured, Recorder, succeeded


@pytest.fixture
def feed(recorder: Recorder, tmp_path: Path) -> Iterator[Feed]:
    with closing(History.open(str(tmp_path))) as history:
        yield Feed(history, "Rbcd")


def names(events: Iterator[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def record_a_run(recorder: Recorder) -> None:
    """A root, a step that fails and is retried in vain, a group with a step that times out."""
    recorder.run()
    recorder.step(1, "nightly", '"a"', "2")
    recorder.execution(1, "running")
    recorder.step(2, "load", '"x\\u001b"')
    recorder.execution(2, "failed", FAILURE, following="Rbcd:2:2")
    recorder.execution(2, "failed", FAILURE, attempt=2)
    recorder.group(0, "batches")
    recorder.step(3, "count", group=0)
    recorder.execution(3, "timed_out", TIMEOUT)
    recorder.log(2, Level.STDOUT, "reading {not filled}")
    recorder.log(1, Level.INFO, "{n} done\nin all", values=b'{"n":3,"of":{"$repr":"<total>"}}', at=8)
    recorder.commit()


def finish_the_run(recorder: Recorder) -> None:
    recorder.execution(1, "succeeded", succeeded('{"ok":true}'))
    recorder.run("succeeded", settled=True)
    recorder.commit()


def test_the_feed_tells_everything_once(recorder: Recorder, feed: Feed) -> None:
    record_a_run(recorder)
    told = names(feed.events())
    assert told[:5] == ["RunChanged", "StepSubmitted", "StepSubmitted", "GroupOpened", "StepSubmitted"]
    assert sorted(told[5:]) == ["ExecutionChanged"] * 4 + ["Logged"] * 2
    assert names(feed.events()) == []
    finish_the_run(recorder)
    assert names(feed.events()) == ["RunChanged", "ExecutionChanged"]
    assert names(feed.events()) == []


def test_the_feed_follows_child_runs(recorder: Recorder, feed: Feed) -> None:
    recorder.run()
    recorder.step(1, "nightly")
    recorder.execution(1, "running")
    recorder.step(2, "child")
    recorder.execution(2, "spawned", following="Rchild:1:1")
    recorder.run(run="Rchild", parent="Rbcd:2:1")
    recorder.step(1, "child", run="Rchild")
    recorder.execution(1, "running", run="Rchild")
    recorder.commit()
    runs = [event.row.id for event in feed.events() if isinstance(event, RunChanged)]
    assert runs == ["Rbcd", "Rchild"]
    recorder.execution(1, "succeeded", run="Rchild")
    recorder.commit()
    assert names(feed.events()) == ["ExecutionChanged"]


def test_a_run_that_goes_on_is_told_from_there(recorder: Recorder, feed: Feed, captured: Captured) -> None:
    """For a re-run: what had happened is known, but not shown again, though the run had settled."""
    record_a_run(recorder)
    finish_the_run(recorder)
    display = Lines(captured.output, PLAIN)
    for event in feed.skip():
        assert type(event).__name__ != "Logged"
        display.recall(event)
    assert captured.text == ""
    recorder.run("running")
    recorder.execution(2, "running", attempt=3)
    recorder.log(2, Level.STDOUT, "again")
    recorder.commit()
    for event in feed.events():
        display.take(event)
    assert captured.lines == ["Rbcd:2 load attempt 3 running", "Rbcd:2 load | again"]
    recorder.execution(2, "succeeded", succeeded("1"), attempt=3)
    recorder.run("succeeded", settled=True)
    recorder.commit()
    for event in feed.events():
        display.take(event)
    assert captured.lines[2:] == ["Rbcd:2 load attempt 3 succeeded in 2.0s"]


def test_the_feed_leaves_runs_at_rest_alone(recorder: Recorder, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run can have thousands of child runs: what one of them does costs no look at the others."""
    recorder.run()
    recorder.step(1, "nightly")
    recorder.execution(1, "running")
    for number in range(2, 12):
        child = f"Rchild{number}"
        recorder.step(number, "inner")
        recorder.execution(number, "spawned", following=f"{child}:1:1")
        recorder.run(run=child, parent=f"Rbcd:{number}:1")
        recorder.step(1, "inner", run=child)
        recorder.execution(1, "running", run=child)
    recorder.commit()
    assert names(feed.events()).count("RunChanged") == 11
    recorder.execution(1, "succeeded", succeeded("1"), run="Rchild3")
    recorder.log(1, Level.INFO, "hello", run="Rchild7")
    recorder.commit()
    visited: list[str] = []
    steps = History.steps

    def noted(self: History, run_id: str, after: int = 0) -> Any:
        visited.append(run_id)
        return steps(self, run_id, after)

    monkeypatch.setattr(History, "steps", noted)
    assert sorted(names(feed.events({("Rchild3", 1, 1): None}))) == ["ExecutionChanged", "Logged"]
    assert set(visited) == {"Rbcd", "Rchild3", "Rchild7"}


def test_the_feed_tells_who_was_given_what(recorder: Recorder, feed: Feed) -> None:
    record_a_run(recorder)
    list(feed.events())
    recorder.group(1, "more")
    recorder.shared(3, "Rbcd:2:2", group=1)
    recorder.commit()
    assert names(feed.events()) == ["GroupOpened", "HandleShared"]
    assert names(feed.events()) == []


def test_lines_tell_a_run_in_the_order_of_time(recorder: Recorder, feed: Feed, captured: Captured) -> None:
    display = Lines(captured.output, PLAIN)
    record_a_run(recorder)
    for event in feed.events():
        display.take(event)
    finish_the_run(recorder)
    for event in feed.events():
        display.take(event)
    assert captured.lines == [
        "run Rbcd app.flows/nightly",
        "Rbcd:1 nightly('a', 2) running",
        "Rbcd:2 load | reading {not filled}",
        "Rbcd:2 load('x\\x1b') failed in 2.0s: ValueError: no^[[2J",
        "Rbcd:2 load attempt 2 failed in 2.0s: ValueError: no^[[2J",
        "    Traceback (most recent call last):",
        "    ValueError: no^[[2J",
        "Rbcd:3 count() timed out in 3.0s: no outcome after 2 s",
        "Rbcd:1 nightly info: 3 done",
        "Rbcd:1 nightly info: in all of=<total>",
        "Rbcd:1 nightly succeeded in 1.0s",
    ]


def test_colours_only_where_they_are_wanted(recorder: Recorder, feed: Feed, captured: Captured) -> None:
    display = Lines(captured.output, PLAIN._replace(color=True))
    record_a_run(recorder)
    for event in feed.events():
        display.take(event)
    assert "Rbcd:3 count() \x1b[31;1mtimed out\x1b[0m in 3.0s" in captured.text
    assert "\x1b[2J" not in captured.text


def test_problems_are_steps_whose_last_attempt_failed(recorder: Recorder, feed: Feed) -> None:
    problems = Problems("Rbcd")
    record_a_run(recorder)
    recorder.execution(1, "failed", FAILURE)
    recorder.commit()
    for event in feed.events():
        problems.take(event)
    assert problems.lines() == [
        "Rbcd:2 load failed: ValueError: no\x1b[2J",
        "Rbcd:3 count timed out: no outcome after 2 s",
    ]
    assert problems.lines(limit=1)[1:] == ["and 1 more steps did not succeed"]


def test_events_are_ndjson(recorder: Recorder, feed: Feed, captured: Captured, tmp_path: Path) -> None:
    notices = Captured()
    display = Events(captured.output, notices.output)
    record_a_run(recorder)
    finish_the_run(recorder)
    for event in feed.events():
        display.take(event)
    display.say("a notice")
    with closing(History.open(str(tmp_path))) as history:
        display.result(history.document_json("Rbcd"))
    objects = [json.loads(line) for line in captured.lines]
    assert all(document["version"] == 1 for document in objects)
    kinds = [document["event"] for document in objects]
    assert kinds[:4] == ["run", "step", "step", "step"]
    assert kinds[-1] == "result"
    assert [document["group"] for document in objects[1:4]] == [
        None,
        None,
        {"number": 0, "name": "batches", "parent": None},
    ]
    failed = next(document for document in objects if document.get("id") == "Rbcd:2:1")
    assert (failed["status"], failed["next"], failed["error"]["type"]) == ("failed", "Rbcd:2:2", "builtins.ValueError")
    log = next(document for document in objects if document["event"] == "log" and document["level"] == "info")
    assert log["text"] == "3 done\nin all of=<total>"
    assert log["values"] == {"n": 3, "of": "<total>"}
    assert objects[-1]["result"] == {"ok": True}
    assert objects[-1]["run"]["status"] == "succeeded"
    assert notices.text == "a notice\n"
    notices.close()


def test_the_tree_keeps_logs_above_and_fits_the_terminal(
    recorder: Recorder, feed: Feed, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "8")
    monkeypatch.setenv("TERM", "xterm")
    tree = Tree(captured.output, PLAIN._replace(live=True, color=True))
    record_a_run(recorder)
    for number in range(4, 40):
        recorder.step(number, f"[bold]step{number}[/bold]")
        recorder.execution(number, "running" if number == 20 else "succeeded")
    recorder.commit()
    for event in feed.events():
        tree.take(event)
    tree.say("a notice")
    tree.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", captured.text)
    picture = [line.rstrip() for line in text.rpartition("run Rbcd")[2].splitlines()]
    assert picture[0] == " app.flows/nightly"
    assert picture[1].startswith("► nightly('a', 2)")
    assert any(line.startswith("  ✗ load") for line in picture)
    assert len(picture) <= 8
    assert all(len(line) <= 40 for line in picture)
    assert text.index("reading {not filled}") < text.index("a notice") < text.rindex("► nightly")
    assert "\x1b[2J" not in captured.text


def test_a_progress_bar_is_told_of_when_it_is_complete(
    recorder: Recorder, feed: Feed, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree shows it meanwhile. Records of the standard library name their logger, and are never filled in."""
    monkeypatch.setenv("TERM", "xterm")
    narrator, tree = Narrator(PLAIN), Tree(captured.output, PLAIN._replace(live=True))
    recorder.run()
    recorder.step(1, "nightly")
    recorder.log(1, Level.STDERR, " 50% |##  |", bar=0, live=True)
    recorder.commit()
    events = list(feed.events())
    assert [line for event in events for line in narrator.lines(event)] == ["run Rbcd app.flows/nightly"]
    for event in events:
        tree.take(event)
    tree.refresh()
    assert "Rbcd:1 50% |##  |" in captured.text
    recorder.log(1, Level.STDERR, "100% |####|", bar=0)
    recorder.log(1, Level.INFO, "{n} done\nin all", values=b'{"n":3}', logger="app.db")
    recorder.commit()
    told = [line for event in feed.events() for line in narrator.lines(event)]
    assert told == [
        "Rbcd:1 nightly | 100% |####|",
        "Rbcd:1 nightly info app.db: {n} done",
        "Rbcd:1 nightly info app.db: in all",
        "Rbcd:1 nightly info app.db: n=3",
    ]


def test_a_tree_without_unicode_is_ascii(
    recorder: Recorder, feed: Feed, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    tree = Tree(captured.output, PLAIN._replace(live=True, unicode=False))
    record_a_run(recorder)
    for event in feed.events():
        tree.take(event)
    tree.close()
    assert captured.text.isascii()


def test_the_tree_shows_how_far_what_runs_has_got(
    recorder: Recorder, feed: Feed, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    tree = Tree(captured.output, PLAIN._replace(live=True))
    record_a_run(recorder)
    for event in feed.events():
        tree.take(event)
    tree.show_progress({("Rbcd", 1, 1): Progress(21, 50, 0.42, 3.1, 9.4), ("Rother", 1, 1): Progress(1, 2, 0.5, 1, 1)})
    tree.close()
    assert "nightly('a', 2)  42% (21/50), 9.4s left" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", captured.text)
