"""An exception reported by one process is raised in another: same type, same text, nothing of its story lost."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any, Literal, NoReturn, cast

import pytest

from coflux import errors
from coflux.errors import (
    ExecutionAbandoned,
    ExecutionCancelled,
    ExecutionError,
    ExecutionTerminated,
    ExecutionTimeout,
    InternalError,
)
from coflux.executor.blobs import FileBlobs
from coflux.failures import Failure, capture, rebuild, terminated_error
from coflux.handles import Execution
from coflux.values import BlobDamaged, BlobMissing, Reference, UnloadableValue, UnsendableValue
from tests.values.conftest import RunScript


class AppError(Exception):
    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(code, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"code {self.args[0]}: {self.reason}"


class Outer:
    class Inner(LookupError):
        pass


class Quota(OSError):
    __slots__ = ("limit",)
    limit: int


class Evil(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(3)

    def __repr__(self) -> NoReturn:
        raise KeyboardInterrupt

    def __reduce__(self) -> NoReturn:
        raise RuntimeError

    def __getattribute__(self, name: str) -> NoReturn:
        raise ValueError(name)


def captured(action: Callable[[], object], blobs: FileBlobs) -> Failure:
    try:
        action()
    except BaseException as error:  # noqa: BLE001
        return capture(error, blobs)
    raise AssertionError("nothing was raised")


def raised(error: BaseException, blobs: FileBlobs) -> Failure:
    def action() -> NoReturn:
        raise error

    return captured(action, blobs)


def trip(error: BaseException, blobs: FileBlobs) -> Any:
    return rebuild(raised(error, blobs), blobs)


# -- what is reported -------------------------------------------------------------------------------------------------


def divide(number: int) -> float:
    return number / 0


def test_type_message_frames_and_text(blobs: FileBlobs) -> None:
    failure = captured(lambda: divide(1), blobs)
    assert failure.type == "builtins.ZeroDivisionError"
    assert failure.message == "division by zero"
    assert failure.frames[-1].file == __file__
    assert failure.frames[-1].function == "divide"
    assert failure.frames[-1].source == "return number / 0"
    assert failure.frames[-1].line == divide.__code__.co_firstlineno + 1
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert "in divide\n    return number / 0\n" in failure.traceback
    assert failure.traceback.endswith("\nZeroDivisionError: division by zero\n")


def through_the_engine(action: Callable[[], object]) -> Callable[[], object]:
    """Run `action` below a frame of the engine's."""
    scope: dict[str, Any] = {"action": action}
    file = errors.__file__
    exec(compile("def engine_frame():\n    return action()", file, "exec"), scope)
    return cast(Callable[[], object], scope["engine_frame"])


def test_engine_frames_are_hidden(blobs: FileBlobs) -> None:
    failure = captured(through_the_engine(lambda: divide(1)), blobs)
    assert errors.__file__ not in failure.traceback
    assert all(frame.function != "engine_frame" for frame in failure.frames)
    assert failure.frames[-1].function == "divide"


def test_engine_frames_are_shown_when_there_is_nothing_else(blobs: FileBlobs) -> None:
    with pytest.raises(TypeError) as caught:
        through_the_engine(cast(Any, None))()
    assert caught.value.__traceback__ is not None
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    failure = capture(caught.value, blobs)
    assert [frame.function for frame in failure.frames] == ["engine_frame"]


def test_causes_contexts_and_notes_are_in_the_text(blobs: FileBlobs) -> None:
    def action() -> None:
        try:
            try:
                divide(1)
            except ZeroDivisionError:
                raise KeyError("lost")  # noqa: B904
        except KeyError as error:
            last = ValueError("last")
            last.add_note("while loading page 3")
            raise last from error

    text = captured(action, blobs).traceback
    positions = [
        text.index(part)
        for part in (
            "ZeroDivisionError: division by zero",
            "During handling of the above exception, another exception occurred:",
            "KeyError: 'lost'",
            "The above exception was the direct cause of the following exception:",
            "ValueError: last\nwhile loading page 3\n",
        )
    ]
    assert positions == sorted(positions)


def test_a_suppressed_context_stays_hidden(blobs: FileBlobs) -> None:
    def action() -> None:
        try:
            divide(1)
        except ZeroDivisionError:
            raise ValueError("last") from None

    assert "ZeroDivisionError" not in captured(action, blobs).traceback


def test_members_of_nested_groups_are_in_the_text(blobs: FileBlobs) -> None:
    cause = KeyError("root")
    member = ValueError("deep")
    member.__cause__ = cause
    text = raised(ExceptionGroup("outer", [TypeError("a"), ExceptionGroup("inner", [member])]), blobs).traceback
    for part in ("outer (2 sub-exceptions)", "TypeError: a", "inner (1 sub-exception)", "KeyError: 'root'", "deep"):
        assert part in text


def test_a_loop_of_causes_ends(blobs: FileBlobs) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    text = raised(first, blobs).traceback
    assert text.count("ValueError: first") == text.count("ValueError: second") == 1


def test_a_long_chain_is_cut(blobs: FileBlobs) -> None:
    error = ValueError("0")
    for number in range(1, 3_000):
        following = ValueError(str(number))
        following.__context__ = error
        error = following
    text = raised(error, blobs).traceback
    assert text.endswith("ValueError: 2999\n")
    assert text.count("ValueError: ") == 100


def test_endless_recursion(blobs: FileBlobs) -> None:
    def again() -> object:
        return again()

    failure = captured(again, blobs)
    assert failure.type == "builtins.RecursionError"
    assert len(failure.frames) == 100
    assert "[Previous line repeated" in failure.traceback


def test_a_huge_message_is_cut(blobs: FileBlobs) -> None:
    failure = raised(ValueError("x" * 1_000_000), blobs)
    assert failure.message.endswith("… (934464 more characters)")
    assert len(failure.traceback) < 70_000
    assert str(rebuild(failure, blobs)) == failure.message


def test_text_that_has_no_utf8_form_is_escaped(blobs: FileBlobs) -> None:
    failure = raised(ValueError("\udcff"), blobs)
    assert failure.message == "\\udcff"
    failure.traceback.encode()


def test_an_exception_whose_every_method_raises(blobs: FileBlobs) -> None:
    failure = raised(Evil("x"), blobs)
    assert failure.type == f"{__name__}.Evil"
    assert failure.message == f"<{__name__}.Evil object, str failed: SystemExit>"
    assert f"{__name__}.Evil" in failure.traceback
    error = rebuild(failure)
    assert type(error) is ExecutionError
    assert str(error) == failure.message


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt(), "builtins.KeyboardInterrupt"),
        (SystemExit(0), "0"),
        (SystemExit("bye"), "bye"),
        (GeneratorExit(), "builtins.GeneratorExit"),
        (asyncio.CancelledError("stop"), "stop"),
        (type("Halt", (BaseException,), {})("now"), "now"),
        (StopIteration(3), "3"),
        (StopAsyncIteration(), "builtins.StopAsyncIteration"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_must_not_be_raised_in_a_caller_becomes_a_plain_error(
    error: BaseException, text: str, blobs: FileBlobs
) -> None:
    failure = raised(error, blobs)
    rebuilt = rebuild(failure, blobs)
    assert type(rebuilt) is ExecutionError
    assert str(rebuilt) == text
    assert rebuilt.error_type == f"{type(error).__module__}.{type(error).__qualname__}"
    assert rebuilt.error_message == str(error)
    assert type(error).__name__ in failure.traceback


# -- what is raised in the caller -------------------------------------------------------------------------------------


def test_it_is_an_execution_error_and_the_original(blobs: FileBlobs) -> None:
    error = rebuild(captured(lambda: divide(1), blobs), blobs)
    assert isinstance(error, ExecutionError)
    assert isinstance(error, ZeroDivisionError)
    assert type(error).__qualname__ == "ZeroDivisionError"
    assert error.error_type == "builtins.ZeroDivisionError"
    assert error.error_message == str(error) == "division by zero"
    assert error.args == ("division by zero",)
    assert "in divide" in error.remote_traceback
    assert error.remote_traceback in str(error.__cause__)


def test_a_class_is_made_once(blobs: FileBlobs) -> None:
    assert type(trip(ValueError("a"), blobs)) is type(trip(ValueError("b"), blobs))


def test_arguments_and_attributes_without_calling_init(blobs: FileBlobs) -> None:
    original = AppError(7, reason="closed")
    original.__dict__["page"] = {"number": (3, 4)}
    error = trip(original, blobs)
    assert isinstance(error, AppError)
    assert str(error) == "code 7: closed"
    assert error.args == (7, "closed")
    assert error.reason == "closed"
    assert error.__dict__["page"] == {"number": (3, 4)}


def test_nested_classes(blobs: FileBlobs) -> None:
    error = trip(Outer.Inner("x"), blobs)
    assert isinstance(error, Outer.Inner)
    assert vars(error)["error_type"] == f"{__name__}.Outer.Inner"


def test_local_classes(blobs: FileBlobs) -> None:
    class Local(ValueError):
        pass

    assert isinstance(trip(Local("x"), blobs), Local)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (FileNotFoundError(2, "No such file", "/a"), ("errno", "strerror", "filename")),
        (KeyError("a"), ()),
        (ImportError("no", name="pandas", path="/x"), ("msg", "name", "path")),
        (SyntaxError("bad", ("f.py", 3, 4, "x = ", 3, 5)), ("msg", "filename", "lineno", "offset", "text")),
        (AttributeError("no", name="x", obj=threading.Lock()), ("name",)),
        (NameError("no", name="x"), ("name",)),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ("encoding", "object", "start", "end", "reason")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields_of_builtin_exceptions(error: Exception, fields: tuple[str, ...], blobs: FileBlobs) -> None:
    rebuilt = trip(error, blobs)
    assert isinstance(rebuilt, type(error))
    assert str(rebuilt) == str(error)
    assert [getattr(rebuilt, field) for field in fields] == [getattr(error, field) for field in fields]
    assert not hasattr(rebuilt, "__notes__")


def test_slots(blobs: FileBlobs) -> None:
    error = Quota(28, "full")
    error.limit = 5
    assert trip(error, blobs).limit == 5


def test_notes_are_kept(blobs: FileBlobs) -> None:
    error = ValueError("x")
    error.add_note("page 3")
    assert trip(error, blobs).__notes__ == ["page 3"]


def test_what_could_not_be_sent_is_told_in_notes(blobs: FileBlobs) -> None:
    error = ValueError("broken", threading.Lock())
    error.__dict__.update(lock=[threading.Lock()], page=3)
    rebuilt = trip(error, blobs)
    assert isinstance(rebuilt, ValueError)
    assert str(rebuilt) == str(error)
    assert rebuilt.__dict__["page"] == 3
    args_note, lock_note = rebuilt.__notes__
    assert args_note.startswith("coflux: args were not sent: args[1]: _thread.lock cannot be sent")
    assert lock_note.startswith("coflux: attribute 'lock' was not sent: lock[0]: _thread.lock cannot be sent")


def test_big_attributes_are_in_the_store(blobs: FileBlobs) -> None:
    error = ValueError("x")
    error.__dict__["body"] = b"x" * 100_000
    failure = raised(error, blobs)
    assert failure.exception is not None
    assert len(failure.exception) < 1_000
    assert rebuild(failure, blobs).__dict__["body"] == b"x" * 100_000
    (note,) = rebuild(failure).__notes__
    assert note.startswith("coflux: attribute 'body' was not restored: ")


def test_handles_in_attributes(blobs: FileBlobs) -> None:
    handle: Execution[Any] = Execution.from_reference(Reference("execution", "R1:2:1", "app", "f"))
    error = ValueError("x")
    error.__dict__["handle"] = handle
    assert trip(error, blobs).handle == handle


def test_groups_are_rebuilt_with_their_members(blobs: FileBlobs) -> None:
    group = trip(ExceptionGroup("outer", [TypeError("a"), ExceptionGroup("inner", [AppError(1, reason="b")])]), blobs)
    assert isinstance(group, ExecutionError)
    assert isinstance(group, ExceptionGroup)
    assert group.message == "outer"
    assert str(group) == "outer (2 sub-exceptions)"
    matched: list[BaseException] = []
    try:
        raise group
    except* AppError as part:
        inner = part.exceptions[0]
        assert isinstance(inner, ExceptionGroup)
        matched += inner.exceptions
    except* TypeError:
        pass
    (error,) = matched
    assert isinstance(error, ExecutionError)
    assert str(error) == "code 1: b"


def test_an_exception_of_main(run_script: RunScript) -> None:
    definitions = (
        "class Refused(Exception):\n    def __str__(self):\n        return f'refused: {self.args[0]}'\n"
        "def refuse():\n    raise Refused('seat 3')\n"
    )
    run_script(
        definitions + "try:\n    refuse()\nexcept Refused as error:\n    save(failures.capture(error, blobs))\n",
    )
    shown = run_script(
        "error = failures.rebuild(saved(failures.Failure), blobs)\n"
        "print(type(error).__mro__[2].__name__, error, error.error_type)\n"
    )
    assert shown == "Refused refused: seat 3 __main__.Refused\n"


def test_a_class_that_is_missing_here(blobs: FileBlobs) -> None:
    failure = raised(Outer.Inner("x"), blobs)
    assert failure.exception is not None
    foreign = Failure("app.Gone", "x", failure.traceback, (), failure.exception.replace(b"Outer.Inner", b"Outer.Gone!"))
    error = rebuild(foreign, blobs)
    assert type(error) is ExecutionError
    assert (str(error), error.error_type) == ("x", "app.Gone")


@pytest.mark.parametrize("error", [Exception("x"), ExecutionError("x")], ids=["Exception", "ExecutionError"])
def test_the_most_general_exceptions(error: Exception, blobs: FileBlobs) -> None:
    rebuilt = trip(error, blobs)
    assert type(rebuilt) is ExecutionError
    assert str(rebuilt) == "x"


# -- through several levels -------------------------------------------------------------------------------------------


def test_type_attributes_and_story_survive_three_levels(blobs: FileBlobs) -> None:
    def child() -> NoReturn:
        raise AppError(7, reason="closed")

    failure = captured(child, blobs)
    for level in range(3):
        name = f"level_{level}"
        scope: dict[str, Any] = {"error": rebuild(failure, blobs)}
        exec(f"def {name}():\n    raise error", scope)
        failure = captured(scope[name], blobs)
    assert failure.type == f"{__name__}.AppError"
    for part in ("in child", "in level_0", "in level_1", "in level_2"):
        assert failure.traceback.count(part) == 1
    assert failure.traceback.index("in child") < failure.traceback.index("in level_2")
    error = rebuild(failure, blobs)
    assert isinstance(error, AppError)
    assert error.reason == "closed"


def test_a_plain_error_keeps_the_original_type_through_levels(blobs: FileBlobs) -> None:
    failure = raised(rebuild(raised(SystemExit(3), blobs), blobs), blobs)
    assert failure.type == "builtins.SystemExit"


def test_one_remote_traceback_is_shown_once(blobs: FileBlobs) -> None:
    failure = captured(lambda: divide(1), blobs)
    text = raised(ExceptionGroup("twice", [rebuild(failure, blobs), rebuild(failure, blobs)]), blobs).traceback
    assert text.count("return number / 0") == 1
    assert text.count("ZeroDivisionError: division by zero") == 3


def test_members_of_a_group_keep_their_remote_tracebacks(blobs: FileBlobs) -> None:
    member = rebuild(captured(lambda: divide(1), blobs), blobs)
    failure = raised(ExceptionGroup("tasks", [member]), blobs)
    assert failure.traceback.count("return number / 0") == 1
    again = raised(rebuild(failure, blobs), blobs)
    assert again.traceback.count("return number / 0") == 1


@pytest.mark.parametrize("cls", [ExecutionCancelled, ExecutionTimeout, ExecutionAbandoned])
def test_an_uncaught_termination_is_both(cls: type[Exception], blobs: FileBlobs) -> None:
    error = trip(cls("R1:2 was ended"), blobs)
    assert isinstance(error, ExecutionError)
    assert isinstance(error, cls)
    assert error.error_type == f"coflux.errors.{cls.__name__}"


# -- the exceptions as values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "twin_of", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"]
)
def test_a_rebuilt_error_can_be_pickled_and_copied(twin_of: Callable[[Any], Any], blobs: FileBlobs) -> None:
    original = AppError(7, reason="closed")
    original.add_note("page 3")
    error = trip(ExceptionGroup("tasks", [original]), blobs)
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.remote_traceback == error.remote_traceback
    assert str(twin.__cause__) == str(error.__cause__)
    (member,) = twin.exceptions
    assert isinstance(member, AppError)
    assert (member.reason, member.__notes__) == ("closed", ["page 3"])


@pytest.mark.parametrize(
    "cls",
    [
        *(ExecutionError, ExecutionTerminated, ExecutionCancelled, ExecutionTimeout, ExecutionAbandoned),
        *(InternalError, UnsendableValue, UnloadableValue, BlobMissing, BlobDamaged),
    ],
)
def test_every_exception_of_the_package_pickles(cls: type[Exception]) -> None:
    twin = pickle.loads(pickle.dumps(cls("message")))
    assert type(twin) is cls
    assert str(twin) == "message"


@pytest.mark.parametrize(
    ("kind", "cls"),
    [("cancelled", ExecutionCancelled), ("timed_out", ExecutionTimeout), ("abandoned", ExecutionAbandoned)],
)
def test_terminated_error(kind: Literal["cancelled", "timed_out", "abandoned"], cls: type[Exception]) -> None:
    error = terminated_error(kind, "R1:2 took too long")
    assert type(error) is cls
    assert str(error) == "R1:2 took too long"
    assert isinstance(error, ExecutionTerminated)
    assert isinstance(error, ExecutionError) is (kind == "abandoned")
