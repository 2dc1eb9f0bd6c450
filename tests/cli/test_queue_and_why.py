"""What `coflux queue` and `coflux why` say."""

from __future__ import annotations

import json
import time

import pytest

from coflux.cli.lines import Painter
from coflux.cli.queue import queue_lines, queued_object
from coflux.cli.why import why_lines, why_object
from coflux.display.reasons import reason_text
from coflux.executor.decisions import Attempt, Cache, Memo, Miss, Queued, Retry, Why

NOW = 1_700_000_000.0
PLAIN = Painter(color=False)
UNTIL = time.strftime("%H:%M:%S", time.localtime(NOW + 3.2))


def queued(number: int, reason: str, *, since: float = 12.0, due_in: float | None = None) -> Queued:
    due_at = None if due_in is None else NOW + due_in
    return Queued(f"Rbcd:{number}:1", "app/load", "default", "submission", reason, NOW - since, due_at, ())


def test_a_line_for_each_that_is_queued() -> None:
    entries = [
        queued(2, "ready", since=0.5),
        queued(30, "delayed", due_in=3.2),
        queued(4, "waiting for arguments: Rbcd:2:1"),
        queued(5, "no worker group provides gpu=A\x1b[2J"),
    ]
    assert queue_lines(entries, NOW, PLAIN) == [
        "Rbcd:2:1   app/load  500ms  ready",
        f"Rbcd:30:1  app/load  12.0s  delayed until {UNTIL} (in 3.2s)",
        "Rbcd:4:1   app/load  12.0s  waiting for arguments: Rbcd:2:1",
        "Rbcd:5:1   app/load  12.0s  no worker group provides gpu=A^[[2J",
    ]


@pytest.mark.parametrize(
    ("reason", "due_in", "text"),
    [
        ("ready", None, "ready"),
        ("delayed", -1.0, "delayed"),
        ("superseded by R:2:1", 3.2, f"superseded by R:2:1; delayed until {UNTIL} (in 3.2s)"),
        ("", 3.2, f"delayed until {UNTIL} (in 3.2s)"),
    ],
)
def test_reasons(reason: str, due_in: float | None, text: str) -> None:
    assert reason_text(reason, None if due_in is None else NOW + due_in, NOW) == text


def test_a_date_is_said_when_it_is_far_off() -> None:
    day = time.strftime("%Y-%m-%d ", time.localtime(NOW + 90_000))
    assert reason_text("delayed", NOW + 90_000, NOW).startswith(f"delayed until {day}")


def test_the_queue_as_json() -> None:
    entry = queued(2, "delayed", since=0.0, due_in=0.5)
    assert json.loads(json.dumps(queued_object(entry))) == {
        "id": "Rbcd:2:1",
        "target": "app/load",
        "workspace": "default",
        "trigger": "submission",
        "reason": "delayed",
        "created_at": "2023-11-14T22:13:20.000000Z",
        "due_at": "2023-11-14T22:13:20.500000Z",
        "waits_for": [],
    }


# -- why --------------------------------------------------------------------------------------------------------------


def attempt(
    number: int = 1,
    status: str = "succeeded",
    *,
    reason: str = "",
    trigger: str = "submission",
    due_at: float | None = None,
    following: str | None = None,
    after: str | None = None,
    error: dict[str, str] | None = None,
    retry: Retry | None = None,
    cache: Cache | None = None,
    superseded_by: str | None = None,
) -> Attempt:
    return Attempt(
        f"Rbcd:3:{number}",
        status,  # type: ignore[arg-type]
        reason,
        trigger,  # type: ignore[arg-type]
        due_at,
        (),
        following,
        after,
        error,
        retry,
        cache,
        superseded_by,
    )


NO_MEMO = Memo("off", ())


def told(*attempts: Attempt, memo: Memo = NO_MEMO) -> list[str]:
    why = Why("Rbcd:3", "app/load", "Rbcd:1:1", memo, "on", "unkeyable", attempts)
    return list(why_lines(why, NOW, PLAIN))


def test_the_options_of_a_step_and_its_attempts() -> None:
    error = {"type": "builtins.ValueError", "message": "no\nreally"}
    assert told(
        attempt(1, "failed", cache=Cache("miss", miss=Miss("none"))),
        attempt(2, trigger="retry", after="Rbcd:3:1", error=error, retry=Retry(1, 3)),
        memo=Memo("on", tuple(f"Rbcd:{number}:1" for number in range(4, 11))),
    ) == [
        "step Rbcd:3 app/load, submitted by Rbcd:1:1",
        "memo   on; its handle was given to Rbcd:4:1, Rbcd:5:1, Rbcd:6:1, Rbcd:7:1, Rbcd:8:1 and 2 more, too",
        "cache  on",
        "defer  off: one of the arguments that it looks at has no key",
        "attempt 1  failed",
        "  submitted",
        "  cache: miss, nothing with this key was there",
        "attempt 2  succeeded",
        "  retry 1 of 3 after Rbcd:3:1: ValueError: no",
    ]


@pytest.mark.parametrize(
    ("cache", "text"),
    [
        (Cache("waiting"), "not decided yet"),
        (Cache("skipped"), "not asked, since it ended before"),
        (Cache("hit", source="R2:1:1", age=12.0), "hit, has the result of R2:1:1, 12.0s old"),
        (Cache("hit", source="R2:1:1", age=0.0, older_code=True), "hit, has the result of R2:1:1, from older code"),
        (
            Cache("miss", miss=Miss("argument", "R2:1", "x", "2", "1")),
            "miss, x differs from R2:1's: 1 there, 2 here",
        ),
        (
            Cache("miss", miss=Miss("version", "R2:1", here="'2'", there="none")),
            "miss, the version differs from R2:1's: none there, '2' here",
        ),
        (
            Cache("miss", miss=Miss("arguments", "R2:1", here="x, y", there="x")),
            "miss, R2:1 has another key: it is made of x there, of x, y here",
        ),
        (
            Cache("miss", miss=Miss("age", "R2:1:1", age=90.0, max_age=60.0)),
            "miss, R2:1:1 was 1m30s old, and max_age is 1m00s",
        ),
        (
            Cache("miss", miss=Miss("failed", "R2:1:1", there="timed_out")),
            "miss, R2:1:1 did not succeed: it timed out",
        ),
        (Cache("miss", miss=Miss("unfinished", "R2:1:1")), "miss, R2:1:1 had not finished"),
        (Cache("miss", miss=Miss("forgotten", "R2:1:1")), "miss, the cache was cleared of R2:1:1"),
        (
            Cache("miss", miss=Miss("workspace", "R2:1:1", there="mine")),
            "miss, R2:1:1 is in workspace mine, which is not seen from here",
        ),
    ],
)
def test_what_the_cache_said(cache: Cache, text: str) -> None:
    assert told(attempt(cache=cache))[-1] == f"  cache: {text}"


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        (attempt(2, trigger="rerun", after="Rbcd:3:1"), ["executed again by hand after Rbcd:3:1"]),
        (attempt(2, trigger="resumption", after="Rbcd:3:1"), ["resumed after Rbcd:3:1 was suspended"]),
        (attempt(2, trigger="recurrence", after="Rbcd:3:1"), ["recurrence after Rbcd:3:1 returned None"]),
        (
            attempt(1, "deferred", following="R2:1:1", superseded_by="R2:1:1"),
            ["submitted", "defer: gave way to the newer submission R2:1:1"],
        ),
        (attempt(1, "spawned", following="R2:1:1"), ["submitted", "became the run R2"]),
        (attempt(1, "queued", reason="ready"), ["submitted", "queued: ready"]),
        (
            attempt(1, "queued", reason="delayed", due_at=NOW + 3.2),
            ["submitted", f"queued: delayed until {UNTIL} (in 3.2s)"],
        ),
    ],
)
def test_what_led_to_an_attempt(made: Attempt, lines: list[str]) -> None:
    assert told(made)[5:] == [f"  {line}" for line in lines]


def test_why_as_json() -> None:
    why = Why("Rbcd:3", "app/load", None, Memo("off", ()), "on", "off", (attempt(due_at=NOW),))
    told = json.loads(json.dumps(why_object(why)))
    assert (told["id"], told["cache"]) == ("Rbcd:3", "on")
    assert told["attempts"][0]["due_at"] == "2023-11-14T22:13:20.000000Z"
