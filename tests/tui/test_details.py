"""What there is to know about a step or a group, as lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import msgspec
import pytest

from coflux.encoded import Failure, Frame
from coflux.executor.decisions import Attempt, Cache, Memo, Miss, Retry, Why
from coflux.executor.messages import Failed, Outcome, Succeeded, Terminated
from coflux.executor.rows import ExecutionRow, SharedRow, Status
from coflux.executor.series import Progress
from coflux.failures import NoBlobs, capture
from coflux.tui.details import Fold, Page, ToAttempt, ToRun, ToStep, describe
from coflux.tui.details.page import wrap
from coflux.tui.painting import Glyphs
from coflux.tui.text import cell_len
from coflux.tui.tree import Node, RunTree
from coflux.tui.updates import Details, Excerpt, ShownValue
from coflux.values import Value
from tests.tui.pretend import NOW, details, execution, group, step, value
from tests.tui.stage import HOSTILE

UNICODE, ASCII = Glyphs(True), Glyphs(False)
NONE = Value("json", b"null", 4)


def node_of(*rows: ExecutionRow, problem: str = "") -> Node:
    tree = RunTree()
    tree.add_step(step(3, name="fetch", text="4"))
    for row in rows:
        tree.update(row, problem)
    found = tree.find("R1", 3)
    assert found is not None
    return found


def page_of(
    *rows: ExecutionRow, known: Details | None = None, width: int = 80, unfolded: Iterable[str] = (), problem: str = ""
) -> Page:
    rank = None if known is None else (known.row.attempt,)
    return describe(node_of(*rows, problem=problem), rank, known, width, NOW + 60, UNICODE, set(unfolded))


def text_of(page: Page) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in page.lines]


def has(page: Page, *texts: str) -> bool:
    """Whether these lines are there in this order, maybe others between them."""
    lines = iter(text_of(page))
    return all(any(text in line for line in lines) for text in texts)


def why(*attempts: Attempt, **changes: object) -> Why:
    fields: dict[str, object] = {"memo": Memo("off", ()), "cache": "off", "defer": "off", **changes}
    return Why("R1:3", "flow/fetch", "R1:1:1", attempts=attempts, **fields)  # type: ignore[arg-type]


def attempt(status: Status, **changes: object) -> Attempt:
    fields: dict[str, object] = {
        "id": "R1:3:1", "status": status, "reason": "", "trigger": "submission", "due_at": None, "waits_for": (),
        "next": None, "after": None, "error": None, "retry": None, "cache": None, "superseded_by": None, **changes,
    }  # fmt: skip
    return Attempt(**fields)  # type: ignore[arg-type]


# -- states -----------------------------------------------------------------------------------------------------------

FAILURE = Failure("builtins.ValueError", "no luck", "Traceback\n", (Frame("/app/a.py", 3, "f", "g()"),))
OUTCOMES: list[tuple[Status, Outcome | None, str]] = [
    ("queued", None, "○ queued"),
    ("running", None, "► running"),
    ("succeeded", Succeeded(NONE), "✓ succeeded"),
    ("failed", Failed(FAILURE), "✗ failed"),
    ("timed_out", Terminated("timed_out", "after 30 s\nwhile in f"), "✗ timed out"),
    ("abandoned", Terminated("abandoned", "killed by SIGKILL\nIts last stack:\n  File x"), "! abandoned"),
    ("cancelled", Terminated("cancelled", "by a client"), "⊘ cancelled"),
    ("cached", Succeeded(NONE), "≡ cached"),
    ("deferred", None, "◷ deferred"),
    ("spawned", Succeeded(NONE), "→ spawned"),
    ("suspended", None, "‖ suspended"),
    ("recurred", None, "∞ recurred"),
]


@pytest.mark.parametrize(("status", "outcome", "head"), OUTCOMES)
def test_every_state_at_every_width(status: Status, outcome: Outcome | None, head: str) -> None:
    """No line is wider than the page, nothing reaches the terminal as the user wrote it, ASCII stays ASCII."""
    row = execution(3, status, next="R7:1:1" if status in ("cached", "spawned", "deferred") else None)
    bad = value(HOSTILE, f"{HOSTILE}\n" + "\n".join([HOSTILE * 9] * 40))
    lines = [Excerpt(2, (f"def f(): # {HOSTILE}", "\tg()", "", ""), True)]
    known = details(
        row,
        outcome,
        step=step(3, name=HOSTILE, text=HOSTILE),
        arguments=[bad],
        result=bad if isinstance(outcome, Succeeded) else None,
        notes=HOSTILE if isinstance(outcome, Failed) else "",
        excerpts={("/app/a.py", 3): lines[0]},
        why=why(attempt(status, reason=HOSTILE, waits_for=("R1:2:1",)), memo=Memo("on", ("R1:9:1",))),
    )
    assert head in text_of(page_of(row, known=known))[0]
    for width in (1, 4, 10, 23, 80, 200):
        for glyphs in (UNICODE, ASCII):
            everything = {f"{part} {number}" for part in ("argument", "cause") for number in range(3)} | {"result"}
            for unfolded in (set[str](), everything):
                page = describe(node_of(row, problem=HOSTILE), None, known, width, NOW + 60, glyphs, unfolded)
                for line in text_of(page):
                    assert cell_len(line) <= max(width, 4), (width, line)
                    assert not set("\x1b\x07\u202e\ud83d\t\n") & set(line)
                    assert glyphs.unicode or line.isascii(), line


def test_what_it_took_is_told_as_far_as_it_is_known() -> None:
    row = msgspec.structs.replace(
        execution(3, "succeeded", took=7.6), created_at=NOW - 1.2, cpu_seconds=0.31, peak_memory=47 << 20, read_bytes=9
    )
    [head, facts, *_] = text_of(page_of(row))
    assert head == "✓ succeeded   R1:3:1   7.6s"
    assert facts.endswith("queued 1.2s   cpu 310ms   memory 47 MiB   read 9 B")
    assert has(page_of(row, width=20), "queued 1.2s", "cpu 310ms", "read 9 B")
    running = node_of(execution(3, "running"))
    running.progress = Progress(40.0, 160.0, 0.25, 1.0, 90.0)
    page = describe(running, None, None, 60, NOW, UNICODE)
    assert has(page, "████░░░░░░░░░░░░ 25%  ~1m30s left")


WHYS: list[tuple[Attempt, dict[str, object], list[str]]] = [
    (attempt("queued", reason="ready"), {"before": 3}, ["queued: ready, 3 before it"]),
    (attempt("queued", reason="ready"), {"before": 0}, ["queued: ready, the next"]),
    (
        attempt("queued", reason="waiting for arguments: R1:2:1", waits_for=("R1:2:1",)),
        {},
        ["queued: waiting for arguments: R1:2:1", "→ waits for R1:2:1"],
    ),
    (
        attempt("failed", trigger="retry", after="R1:3:0", retry=Retry(1, 3), error={"type": "X", "message": "no"}),
        {},
        ["retry 1 of 3 after R1:3:0: X: no"],
    ),
    (
        attempt("cached", cache=Cache("hit", "R0:2:1", 240.0)),
        {},
        ["cache: hit, has the result of R0:2:1, 4m00s old"],
    ),
    (
        attempt("succeeded", cache=Cache("miss", miss=Miss("argument", "R0:2", "page", "1", "7"))),
        {},
        ["cache: miss, page differs from R0:2's: 7 there, 1 here"],
    ),
    (attempt("deferred", superseded_by="R2:1:1"), {}, ["defer: gave way to the newer submission R2:1:1"]),
]


@pytest.mark.parametrize(("decided", "changes", "texts"), WHYS)
def test_it_says_why(decided: Attempt, changes: dict[str, object], texts: list[str]) -> None:
    row = execution(3, decided.status)
    known = details(row, why=why(decided))._replace(**changes)  # type: ignore[arg-type]
    page = page_of(row, known=known)
    assert has(page, *texts)
    assert "submitted" not in text_of(page)


@pytest.mark.parametrize(
    ("status", "next_id", "text", "link"),
    [
        ("spawned", "R7:1:1", "→ goes on as run R7", ToRun("R7")),
        ("cached", "R0:2:1", "→ result of R0:2:1", ToStep("R0", 2)),
        ("deferred", "R2:5:1", "→ the newer submission R2:5:1", ToStep("R2", 5)),
        ("failed", "R1:3:2", "→ goes on with attempt 2", None),
    ],
)
def test_lines_lead_to_where_it_goes_on(status: Status, next_id: str, text: str, link: object) -> None:
    page = page_of(execution(3, status, next=next_id))
    assert page.links.get(text_of(page).index(text)) == link


def test_a_link_leads_to_the_step_whose_handle_it_was_given() -> None:
    tree = RunTree()
    tree.add_step(step(1, name="main"))
    tree.add_step(step(2, "R1:1:1", name="load"))
    tree.add_step(step(3, "R1:1:1", name="use"))
    tree.update(execution(2, "succeeded"))
    tree.add_shared(SharedRow("R1", 3, 1, 1, "R1:2:1", None))
    use = tree.find("R1", 3)
    assert use is not None
    [link] = use.children
    page = describe(link, None, None, 80, NOW, UNICODE)
    assert ToStep("R1", 2) in page.links.values()
    assert has(page, "✓ succeeded", "memoised: this submission was given the step R1:2")


def test_attempts_are_listed_and_each_can_be_shown() -> None:
    rows = [execution(3, "failed", attempt=n, next=f"R1:3:{n + 1}", took=float(n)) for n in (1, 2)]
    rows.append(execution(3, "succeeded", attempt=3, trigger="retry"))
    page = page_of(*rows, problem="ValueError: no")
    assert has(page, "✓ succeeded   R1:3:3   attempt \u20393/3\u203a", "Attempts", "1 ✗ failed", "▸  3 ✓ succeeded")
    assert [link for link in page.links.values() if isinstance(link, ToAttempt)] == [
        ToAttempt((1,)), ToAttempt((2,)), ToAttempt((3,)),
    ]  # fmt: skip
    earlier = describe(node_of(*rows), (1,), None, 80, NOW + 60, UNICODE)
    assert has(earlier, "✗ failed   R1:3:1   attempt \u20391/3\u203a   1.0s", "▸  1 ✗ failed")


# -- errors -----------------------------------------------------------------------------------------------------------


def library() -> object:
    return json.loads("{bad")


def chained() -> None:
    try:
        library()
    except ValueError as error:
        error.add_note("page 4")
        raise RuntimeError("no page") from error


def grouped() -> None:
    members: list[Exception] = []
    for call in (chained, library):
        try:
            call()
        except Exception as error:  # noqa: BLE001
            members.append(error)
    raise ExceptionGroup("two pages", members)


def recursive(depth: int) -> None:
    if depth:
        recursive(depth - 1)
    raise LookupError("deep")


def failed(call: Callable[[], object], **changes: object) -> Details:
    try:
        call()
    except Exception as error:  # noqa: BLE001
        error.add_note("seen at noon")
        failure = capture(error, NoBlobs())
    else:
        raise AssertionError("it did not fail")
    return details(execution(3, "failed"), Failed(failure), **changes)


def error_page(known: Details, *unfolded: str, width: int = 100) -> Page:
    return page_of(known.row, known=known, unfolded=unfolded, width=width)


def test_the_users_frames_come_before_those_of_libraries_which_are_folded() -> None:
    known = failed(chained)
    page = error_page(known)
    assert has(
        page, "RuntimeError: no page", "seen at noon", "in chained", "→ ", "caused by",
        "json.decoder.JSONDecodeError: ", "page 4", "▸ 3 library frames", "in library", "in chained",
    )  # fmt: skip
    folds = [link for link in page.links.values() if isinstance(link, Fold) and "library" in link.part]
    shown = error_page(known, *[fold.part for fold in folds])
    assert has(shown, "▾ 3 library frames", "in raw_decode", "in library")
    assert not has(page, "raw_decode")


def test_the_line_that_failed_is_marked_among_those_around_it() -> None:
    known = failed(chained)
    frame = known.causes[0].frames[-1]
    lines = (
        "    except ValueError as error:",
        "",
        "        raise RuntimeError('no page') from error",
        "",
        "def other():",
    )
    excerpt = Excerpt(frame.line - 2, lines, changed=False)
    page = error_page(known._replace(excerpts={(frame.file, frame.line): excerpt}))
    at = text_of(page).index(f"  → {frame.line}      raise RuntimeError('no page') from error")
    assert text_of(page)[at - 2 : at] == [f"    {frame.line - 2}  except ValueError as error:", f"    {frame.line - 1}"]
    assert not has(page, "def other")  # what follows is another function
    assert ("raise", "magenta") in page.lines[at]
    assert ("ValueError", "cyan") in page.lines[at - 2]
    changed = error_page(known._replace(excerpts={(frame.file, frame.line): excerpt._replace(changed=True)}))
    assert has(changed, "in chained  changed since")
    gone = error_page(known._replace(excerpts={(frame.file, frame.line): Excerpt(frame.line, (), changed=True)}))
    assert has(gone, "in chained  not there any more", "raise RuntimeError")


def test_recursion_is_told_once_and_a_group_by_its_members() -> None:
    assert has(error_page(failed(lambda: recursive(30))), "LookupError: deep", "in recursive  30 times")
    page = error_page(failed(grouped))
    assert has(
        page, "ExceptionGroup: two pages (2 sub-exceptions)", "seen at noon", "1 of 2", "│ RuntimeError: no page",
        "│ caused by", "2 of 2", "│ json.decoder.JSONDecodeError",
    )  # fmt: skip


def test_an_error_of_libraries_alone_shows_the_innermost_frame() -> None:
    frames = tuple(Frame(f"/v/site-packages/{name}.py", 3, name, "x") for name in ("a", "b"))
    known = details(execution(3, "failed"), Failed(Failure("builtins.OSError", "", "Traceback\n", frames)))
    assert has(error_page(known), "OSError", "b.py:3 in b", "▸ 1 library frame")


def test_a_long_message_is_folded_and_that_of_another_step_says_so() -> None:
    known = failed(lambda: int("\n".join(str(n) for n in range(50))))
    known = known._replace(source="R7:1:1")
    page = error_page(known, width=40)
    assert has(page, "Error of R7:1:1", "ValueError: invalid literal")
    long = details(known.row, Failed(Failure("builtins.OSError", "a\n" * 50, "Traceback\n")))
    assert has(error_page(long), "▸ 44 more lines")
    assert len(error_page(long, "cause 0 message").lines) > 50


# -- values -----------------------------------------------------------------------------------------------------------

TABLE = """DataFrame (1000, 3) 53.7 KiB
   order  customer    total
   int64  str       float64
0  88000  customer    86.91
1  88001  customer    96.43
… and 998 more rows"""


def result_page(shown: ShownValue, *unfolded: str, width: int = 80) -> Page:
    row = execution(3, "succeeded")
    known = details(row, Succeeded(NONE), result=shown, arguments=[shown], step=step(3, text="4"))
    return page_of(row, known=known, unfolded=unfolded, width=width)


def test_tables_are_cut_between_columns() -> None:
    assert has(result_page(value("x", TABLE)), "Result", "DataFrame (1000, 3)", "     order  customer    total")
    page = result_page(value("x", TABLE), width=25)
    assert has(page, "Result", "     order  customer  …", "     int64  str       …", "  0  88000  customer  …")
    names = next(line for line in page.lines if any("order" in text for text, _ in line))
    assert [style for text, style in names if "order" in text] == ["bold"]


def test_what_is_long_is_folded() -> None:
    summary = "\n".join(["list of 30", *[f"  [{n}] {'x' * 70}" for n in range(24)]])
    page = result_page(value("[...]", summary), width=60)
    assert has(page, "Arguments", "x         list of 30", "[3]", "▸ 20 more lines", "Result", "list of 30", "[13]")
    assert not has(page, "Arguments", "[4]", "Result")
    whole = result_page(value("[...]", summary), "result", width=60)
    assert has(whole, "Result", "[23]", "x" * 10, "▾ less")
    line = result_page(value("y" * 150), width=60)
    assert has(line, "x         " + "y" * 50, "y" * 49 + "…", "Result", "y" * 60)
    assert has(result_page(value("y" * 150), "argument x", width=60), "y" * 50, "y" * 50, "y" * 50, "Result")


# -- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_tells_what_it_holds() -> None:
    tree = RunTree()
    tree.add_step(step(1, name="main"))
    tree.update(execution(1, "running"))
    tree.add_group(group(0, name="Fetch [/] pages"))
    for number in range(2, 32):
        tree.add_step(step(number, "R1:1:1", name="fetch", text=str(number), group=0))
        if number < 14:
            tree.update(execution(number, "failed", took=0.5), f"ValueError: {number}")
        elif number < 30:
            tree.update(execution(number, "succeeded", took=float(number)))
    main = tree.find("R1", 1)
    assert main is not None
    [node] = main.children
    page = describe(node, None, None, 80, NOW + 60, UNICODE)
    assert has(
        page, "group Fetch [/] pages   30 steps", "93%", "✗12 failed   ○2 queued   ✓16 succeeded",
        "Durations of 28 that ended", "shortest 500ms   median 15.5s   longest 29.0s", "29.0s  fetch(29)",
        "Failures 12", "✗ fetch(2)  ValueError: 2", "… 2 more",
    )  # fmt: skip
    links = [link for link in page.links.values() if isinstance(link, ToStep)]
    assert links[0] == ToStep("R1", 29)
    assert links[3:5] == [ToStep("R1", 2), ToStep("R1", 3)]


@pytest.mark.parametrize(
    ("text", "cells", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 8, ["one two", "three"]),
        ("onetwothree", 4, ["onet", "woth", "ree"]),
        ("a 界界界界界", 6, ["a 界界", "界界界"]),
        ("x", 0, ["x"]),
    ],
)
def test_text_is_wrapped_at_spaces(text: str, cells: int, lines: list[str]) -> None:
    assert wrap(text, cells) == lines
