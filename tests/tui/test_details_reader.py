"""What the readers of the dashboard find out about an execution, and what they write to files; with a real store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from coflux.encoded import Failure, Frame, Value
from coflux.executor.history import History
from coflux.executor.messages import Failed as FailedOutcome
from coflux.executor.messages import Succeeded, Terminated
from coflux.executor.news import NOTHING
from coflux.executor.store import Store
from coflux.tui.readers.base import Reader
from coflux.tui.readers.details import DetailsReader
from coflux.tui.readers.saving import PAGE, SavingReader
from coflux.tui.updates import Details, DetailsAsked, Failed, FileThere, KeepAsked, Request, Said, SaveAsked, Update
from tests.store.factories import batch, execution_row, json_value, log_row, run_row, step_row

Stored = tuple[Store, History]


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    data_dir = str(tmp_path / ".coflux")
    store = Store.open(data_dir)
    history = History.open(data_dir)
    yield store, history
    history.close()
    store.close()


def answers(reader: Reader, history: History, *requests: Request) -> list[Update]:
    told: list[Update] = []
    for request in requests:
        told += reader.answer(history, request)
    while reader.busy:
        told += reader.read(history, NOTHING)
    return told


def details(reader: Reader, history: History, *executions: str) -> Details:
    [told] = answers(reader, history, *map(DetailsAsked, executions))
    assert isinstance(told, Details)
    return told


def failed(*frames: Frame) -> bytes:
    text = "Traceback (most recent call last):\nValueError: no luck\n"
    return msgspec.msgpack.encode(FailedOutcome(Failure("builtins.ValueError", "no luck", text, frames)))


def test_the_source_around_a_failure_is_read_where_it_is_as_it_was(stored: Stored, tmp_path: Path) -> None:
    store, history = stored
    source = tmp_path / "flow.py"
    source.write_text("import time\n\ndef load():\n    get()\n")
    os.mkfifo(tmp_path / "pipe.py")
    frame = Frame(str(source), 4, "load", "get()")
    others = [Frame(str(tmp_path / name), 1, "f", "x") for name in ("gone.py", "pipe.py")]
    strange = Frame("<x>", 1, "", "")
    store.commit(
        batch(
            run_row("Ra"),
            step_row("Ra", values=(json_value('"DE"'),)),
            execution_row("Ra", status="failed", finished_at=4e9, outcome=failed(frame, *others, strange)),
            execution_row("Ra", attempt=2, status="failed", finished_at=1.0, outcome=failed(frame)),
        )
    )
    reader = DetailsReader()
    known = details(reader, history, "Ra:1:2", "Ra:1:1")  # the cursor has moved on
    assert known.row.id == known.source == "Ra:1:1"
    assert [value.preview for value in known.arguments] == ["'DE'"]
    assert known.arguments[0].exact
    assert known.why is not None
    assert [cause.type for cause in known.causes] == ["ValueError"]
    place = str(source), 4
    assert known.excerpts[place] == (2, ("", "def load():", "    get()", ""), False)
    assert [excerpt.lines for file, excerpt in known.excerpts.items() if file != place] == [(), ()]
    assert details(reader, history, "Ra:1:2").excerpts[place].changed
    source.write_text("import time\n\n\n\ndef load():\n    get()\n")
    assert details(reader, history, "Ra:1:1").excerpts[place].lines == ()  # another line is there now


def test_what_is_queued_and_whose_outcome_is_another_s(stored: Stored) -> None:
    store, history = stored
    result = msgspec.msgpack.encode(Succeeded(Value("pickle", b"x", 1, preview="<Frame>", summary="Frame\n1 2")))
    store.commit(
        batch(
            run_row("Ra"),
            step_row("Ra"),
            execution_row("Ra", status="spawned", next="Rb:1:1"),
            *(step_row("Ra", number=number) for number in (2, 3, 4)),
            *(execution_row("Ra", step=step, created_at=float(step), reason="ready") for step in (2, 3)),
            execution_row("Ra", step=4, created_at=1.0, reason="delayed"),
            run_row("Rb", parent="Ra:1:1", root_run="Ra"),
            step_row("Rb"),
            execution_row("Rb", status="succeeded", outcome=result),
        )
    )
    reader = DetailsReader()
    known = details(reader, history, "Ra:1:1")
    assert known.source == "Rb:1:1"
    assert known.result == ("<Frame>", "Frame\n1 2", None, False, 1)
    assert [details(reader, history, f"Ra:{step}:1").before for step in (2, 3, 4)] == [0, 1, None]
    assert answers(reader, history, DetailsAsked("Rc:1:1")) == []


def test_a_result_a_traceback_and_a_log_are_saved(stored: Stored, tmp_path: Path) -> None:
    store, history = stored
    text = Value("json", b'"two\\nlines"', 12)
    evidence = msgspec.msgpack.encode(Terminated("abandoned", "killed by SIGKILL"))
    store.commit(
        batch(
            run_row("Ra"),
            step_row("Ra"),
            execution_row("Ra", status="succeeded", outcome=msgspec.msgpack.encode(Succeeded(json_value('{"a":1}')))),
            execution_row("Ra", attempt=2, status="succeeded", outcome=msgspec.msgpack.encode(Succeeded(text))),
            execution_row("Ra", attempt=3, status="failed", outcome=failed()),
            execution_row("Ra", attempt=4, status="abandoned", outcome=evidence),
            *(log_row("Ra", template=f"line {number}") for number in range(PAGE + 1)),
        )
    )
    reader = SavingReader()
    file = tmp_path / "saved"

    def saved(request: SaveAsked) -> str:
        [told] = answers(reader, history, request)
        assert isinstance(told, Said)
        content = file.read_text()
        assert told.text == f"{request.what} of {request.execution} saved to {file} ({len(content):,} bytes)"
        return content

    path = str(file)
    assert saved(SaveAsked("Ra:1:1", "result", path)) == '{"a":1}\n'
    again = SaveAsked("Ra:1:2", "result", path)
    assert answers(reader, history, again) == [FileThere(again)]
    assert file.read_text() == '{"a":1}\n'
    assert saved(again._replace(overwrite=True)) == "two\nlines"
    assert saved(SaveAsked("Ra:1:3", "traceback", path, True)).endswith("ValueError: no luck\n")
    assert saved(SaveAsked("Ra:1:4", "traceback", path, True)) == "killed by SIGKILL\n"
    log = saved(SaveAsked("Ra:1:1", "log", path, True)).splitlines()
    assert len(log) == PAGE + 1
    assert log[-1].endswith(f"line {PAGE}")


def test_what_cannot_be_written_is_told_by_name(stored: Stored, tmp_path: Path) -> None:
    _, history = stored
    reader = SavingReader()
    os.mkfifo(tmp_path / "pipe")
    for path, problem in [
        ("no/such", "No such file or directory"),
        ("", "it is a directory"),
        ("pipe", "it is no regular file"),
    ]:
        request = SaveAsked("Ra:1:1", "log", str(tmp_path / path), overwrite=True)
        [told] = answers(reader, history, request)
        assert told == Failed(request, f"cannot write {os.path.join(tmp_path, path).rstrip('/')}: {problem}")


def test_what_the_clipboard_does_not_take_is_kept_in_the_data_directory(stored: Stored) -> None:
    _, history = stored
    [told] = answers(SavingReader(), history, KeepAsked("result of Ra:1:1", "Ra-1-1.result.json", "x" * 2000))
    path = Path(history.data_dir, "copied", "Ra-1-1.result.json")
    assert told == Said("info", f"result of Ra:1:1: 2,000 characters written to {path}")
    assert path.read_text() == "x" * 2000
    assert path.stat().st_mode & 0o777 == 0o600
